// A name server that doesn't answer: curl looks names up on a thread, which neither a timeout nor a cancel
// may wait for.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string_view>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include "common/loop/loop.hpp"
#include "common/net/curl_client.hpp"
#include "tests/unit/net/peer.hpp"

namespace {

/// Lookups of *.slow.test wait here until the test lets them go: nothing depends on how long.
struct Gate {
  std::mutex lock;
  std::condition_variable changed;
  int waiting = 0;
  int gone = 0;
  bool open = false;

  void wait() {
    std::unique_lock held(lock);
    ++waiting;
    changed.notify_all();
    changed.wait_for(held, std::chrono::seconds(60), [&] { return open; });
    ++gone;
    changed.notify_all();
  }
  int count() {
    const std::lock_guard held(lock);
    return waiting - gone;
  }
  void release() {
    std::unique_lock held(lock);
    open = true;
    changed.notify_all();
    changed.wait(held, [&] { return gone == waiting; });
    open = false;
  }
};

Gate& gate() {
  static Gate the_one;
  return the_one;
}

}  // namespace

/// Stands before the C library's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  if (node != nullptr && std::string_view(node).ends_with(".slow.test")) {
    gate().wait();
    return EAI_AGAIN;
  }
  using Real = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, found);
}

namespace katana::net {
namespace {

struct SlowLookup : testing::Test {
  loop::Loop loop;
  CurlClient http{loop};
  std::optional<Result<HttpResponse>> got;

  HttpCall start(Millis connect_timeout) {
    HttpRequest request;
    request.url = "http://name.slow.test/";
    request.allow_plain = true;
    request.connect_timeout = connect_timeout;
    return http.start(std::move(request), {nullptr, nullptr, [&](auto r) { got = std::move(r); }});
  }
  ~SlowLookup() override { gate().release(); }
};

TEST_F(SlowLookup, ATimeoutDoesNotWaitForIt) {
  const auto call = start(Millis{200});
  ASSERT_TRUE(drive(loop, [&] { return got.has_value(); }));
  EXPECT_EQ(gate().count(), 1) << "it is still at it";
  ASSERT_FALSE(*got);
  EXPECT_TRUE(got->error().never_left);
}

TEST_F(SlowLookup, ACancelDoesNotWaitForIt) {
  auto call = start(Millis{60'000});
  ASSERT_TRUE(drive(loop, [&] { return gate().count() == 1; }));
  call.cancel();
  EXPECT_EQ(gate().count(), 1) << "it is still at it";
}

}  // namespace
}  // namespace katana::net
