#include "common/core/id.hpp"

#include <array>
#include <cstdlib>

#include <sys/random.h>

namespace katana {

std::uint64_t random_u64() {
  thread_local std::array<std::uint64_t, 64> pool{};
  thread_local std::size_t left = 0;
  if (left == 0) {
    auto* at = reinterpret_cast<char*>(pool.data());
    std::size_t missing = sizeof(pool);
    while (missing > 0) {
      const ssize_t got = getrandom(at, missing, 0);
      if (got < 0) continue;  // only EINTR is possible here; there is nothing to fall back to
      at += got;
      missing -= static_cast<std::size_t>(got);
    }
    left = pool.size();
  }
  return pool[--left];
}

std::string fresh_id(std::size_t characters) {
  static constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  static_assert(sizeof(kAlphabet) - 1 == 32);
  std::string out;
  out.reserve(characters);
  std::uint64_t bits = 0;
  int have = 0;
  while (out.size() < characters) {
    if (have < 5) {
      bits = random_u64();
      have = 64;
    }
    out += kAlphabet[bits & 31];
    bits >>= 5;
    have -= 5;
  }
  return out;
}

}  // namespace katana
