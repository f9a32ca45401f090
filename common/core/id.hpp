#pragma once

#include <cstdint>
#include <string>

namespace katana {

/// 64 random bits from the kernel's generator, buffered. Any thread.
std::uint64_t random_u64();

/// A fresh id of `characters` digits and lower-case letters (Crockford's base 32: no i, l, o, u), such
/// as `k7m2xq9t`: for job ids, worker ids and pairing codes. 5 bits a character (12 → 60 bits). At most 64.
std::string fresh_id(std::size_t characters = 12);

}  // namespace katana
