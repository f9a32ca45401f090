#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/curl_client.hpp"
#include "tests/unit/net/peer.hpp"

namespace katana::net {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

HttpRequest request_to(const std::string& url, std::string method = "GET", std::string body = {}) {
  HttpRequest request;
  request.method = std::move(method);
  request.url = url;
  request.body = std::move(body);
  request.allow_plain = true;
  return request;
}

struct Client : testing::Test {
  loop::Loop loop;
  CurlClient http{loop};

  /// One request to its end.
  Result<HttpResponse> ask(HttpRequest request) {
    std::optional<Result<HttpResponse>> got;
    auto call = http.start(std::move(request), {nullptr, nullptr, [&](auto r) { got = std::move(r); }});
    EXPECT_FALSE(got) << "never inside start";
    if (!drive(loop, [&] { return got.has_value(); })) return fail(Code::Internal, "the test waited in vain");
    return std::move(*got);
  }
  Error error_of(HttpRequest request) {
    auto result = ask(std::move(request));
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  }
};

Peer::Script answering(std::string text) {
  return [text = std::move(text)](Peer::Conn& c) {
    while (!take_request(c).empty())
      c.say(text);
  };
}

TEST_F(Client, SendsWhatItWasGivenInOneWriteAndReadsTheAnswer) {
  std::string seen;
  std::size_t reads = 0;
  Peer peer(loop, [&](Peer::Conn& c) {
    ++reads;
    seen = take_request(c);
    c.say(answer("hello", "X-Thing:  Value \r\n"));
  });
  auto request = request_to(peer.origin() + "/path?q=1", "POST", R"({"a":1})");
  request.headers = {"Content-Type: application/json"};
  const auto result = ask(request);
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->head.status, 200);
  EXPECT_EQ(result->head.find("x-thing"), "Value");
  EXPECT_EQ(result->body, "hello");
  EXPECT_THAT(seen, StartsWith("POST /path?q=1 HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(seen, testing::EndsWith("\r\n\r\n{\"a\":1}"));
  EXPECT_EQ(reads, 1u) << "head and body in one write";
}

TEST_F(Client, LargeBodiesAreSentWithoutWaitingForContinue) {
  std::string seen;
  Peer peer(loop, [&](Peer::Conn& c) {
    seen = take_request(c);
    if (!seen.empty()) c.say(answer("ok"));
  });
  const std::string body(3 << 20, 'x');
  const auto result = ask(request_to(peer.origin(), "POST", body));
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_THAT(seen, Not(HasSubstr("Expect")));
  EXPECT_EQ(seen.size() - seen.find("\r\n\r\n") - 4, body.size());
}

TEST_F(Client, EveryMethodLeavesTheHandleCleanForTheNext) {
  std::vector<std::string> lines;
  Peer peer(loop, [&](Peer::Conn& c) {
    for (std::string r; !(r = take_request(c)).empty();) {
      lines.push_back(r.substr(0, r.find(' ')));
      if (lines.back() == "HEAD") {
        c.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
      } else {
        c.say(answer("ok"));
      }
    }
  });
  for (const char* method : {"GET", "POST", "HEAD", "DELETE", "PUT", "GET"}) {
    const auto result = ask(request_to(peer.origin(), method, *method == 'P' ? "x" : ""));
    ASSERT_TRUE(result) << method << ": " << result.error().detail;
  }
  EXPECT_THAT(lines, testing::ElementsAre("GET", "POST", "HEAD", "DELETE", "PUT", "GET"));
}

TEST_F(Client, ConnectionsAreUsedAgain) {
  Peer peer(loop, answering(answer("ok")));
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "x")));
  EXPECT_EQ(peer.conns.size(), 1u);
}

TEST_F(Client, FiveHundredAtOnceAllGetTheirOwnAnswer) {
  constexpr int kAll = 500;
  std::vector<Peer::Conn*> waiting;
  Peer peer(loop, [&](Peer::Conn& c) {
    waiting.push_back(&c);
    if (waiting.size() % kAll != 0) return;  // all of them are open at once
    for (auto* w : waiting) {
      const auto request = take_request(*w);
      w->say(answer(request.substr(request.find("\r\n\r\n") + 4)));
    }
    waiting.clear();
  });
  for (int round = 0; round < 2; ++round) {
    int done = 0;
    std::vector<HttpCall> calls;
    for (int i = 0; i < kAll; ++i) {
      calls.push_back(http.start(request_to(peer.origin(), "POST", std::to_string(i)),
                                 {nullptr, nullptr, [&, i](Result<HttpResponse> r) {
                                    ASSERT_TRUE(r) << r.error().detail;
                                    EXPECT_EQ(r->body, std::to_string(i));
                                    ++done;
                                  }}));
    }
    ASSERT_TRUE(drive(loop, [&] { return done == kAll; })) << done;
  }
  EXPECT_EQ(peer.conns.size(), static_cast<std::size_t>(kAll)) << "the second round found them open";
}

TEST_F(Client, AStreamArrivesInPieces) {
  Peer::Conn* conn = nullptr;
  Peer peer(loop, [&](Peer::Conn& c) {
    conn = &c;
    c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  });
  std::string got;
  int status = 0;
  std::optional<Result<HttpResponse>> end;
  auto call = http.start(request_to(peer.origin()), {[&](const HttpHead& h) { status = h.status; },
                                                     [&](std::string_view d) { got += std::string(d) + "|"; },
                                                     [&](auto r) { end = std::move(r); }});
  ASSERT_TRUE(drive(loop, [&] { return got == "one|"; }));
  EXPECT_EQ(status, 200);
  conn->say("3\r\ntwo\r\n");
  ASSERT_TRUE(drive(loop, [&] { return got == "one|two|"; }));
  EXPECT_FALSE(end);
  conn->say("0\r\n\r\n");
  ASSERT_TRUE(drive(loop, [&] { return end.has_value(); }));
  ASSERT_TRUE(*end);
  EXPECT_TRUE((*end)->body.empty());
}

TEST_F(Client, InterimHeadsAreSkippedAndRedirectsAreNotFollowed) {
  Peer peer(loop, answering("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\n"
                            "Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"));
  const auto result = ask(request_to(peer.origin()));
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->head.status, 302);
  EXPECT_EQ(result->head.find("link"), "");
}

TEST_F(Client, ErrorStatusIsAnAnswer) {
  Peer peer(loop, answering("HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno"));
  const auto result = ask(request_to(peer.origin()));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->head.status, 429);
  EXPECT_EQ(result->body, "no");
}

// ---- failures ----

TEST_F(Client, ARefusedConnectionProvablyNeverLeft) {
  std::uint16_t port = 0;
  {
    Peer gone(loop, [](Peer::Conn&) {});
    port = gone.port();
  }
  const auto error =
      error_of(request_to("http://127.0.0.1:" + std::to_string(port) + "/bot123:SECRET/x", "POST", "b"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_TRUE(error.never_left);
  EXPECT_THAT(error.detail, StartsWith("http://127.0.0.1:" + std::to_string(port) + ": "));
  EXPECT_THAT(error.detail, Not(HasSubstr("SECRET")));
}

TEST_F(Client, AnUnknownNameProvablyNeverLeft) {
  const auto error = error_of(request_to("http://no-such-host.invalid/x", "POST", "b"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_TRUE(error.never_left);
}

TEST_F(Client, AFailedHandshakeProvablyNeverLeft) {
  Peer peer(loop, [](Peer::Conn& c) { c.say("this is not TLS, whatever you say\r\n"); });
  const auto error = error_of(request_to(peer.origin("https") + "/bot123:SECRET/x", "POST", "b"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_TRUE(error.never_left);
  EXPECT_THAT(error.detail, Not(HasSubstr("SECRET")));
}

TEST_F(Client, PlainHttpAndOtherSchemesAreRefused) {
  auto request = request_to("http://127.0.0.1:9/bot123:SECRET/x");
  request.allow_plain = false;
  auto error = error_of(request);
  EXPECT_EQ(error.code, Code::Rejected);
  EXPECT_TRUE(error.never_left);
  EXPECT_THAT(error.detail, Not(HasSubstr("SECRET")));
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/", "127.0.0.1", "", "https:/"}) {
    EXPECT_EQ(error_of(request_to(url)).code, Code::Rejected) << url;
  }
  EXPECT_EQ(error_of(request_to("http://[bad/")).code, Code::Rejected);
}

TEST_F(Client, ALineBreakInAHeaderIsRefused) {
  auto request = request_to("http://127.0.0.1:9/");
  request.headers = {"X-Key: a\r\nX-Other: b"};
  EXPECT_EQ(error_of(request).code, Code::Rejected);
}

TEST_F(Client, AnAnswerCutInTheMiddleIsANetworkError) {
  Peer peer(loop, [](Peer::Conn& c) {
    c.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    c.hang_up();
  });
  const auto error = error_of(request_to(peer.origin() + "/SECRET", "POST", "b"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_FALSE(error.never_left);
  EXPECT_EQ(error.detail, peer.origin() + ": the connection closed in the middle of the answer");
}

TEST_F(Client, AResetIsANetworkErrorThatMayHaveLeft) {
  Peer peer(loop, [](Peer::Conn& c) { c.slam(); });
  const auto error = error_of(request_to(peer.origin(), "POST", "b"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_FALSE(error.never_left);
}

TEST_F(Client, GarbageIsMalformed) {
  for (const char* garbage :
       {"\x01\x02\x03 not HTTP at all\r\n\r\n", "HTTP/9.9 banana\r\n\r\n", "{\"ok\":true}\n"}) {
    Peer peer(loop, [&](Peer::Conn& c) {
      c.say(garbage);
      c.hang_up();
    });
    const auto error = error_of(request_to(peer.origin()));
    EXPECT_EQ(error.code, Code::Malformed) << garbage << " -> " << error.detail;
  }
}

TEST_F(Client, AnAnswerOverTheLimitIsMalformedAndSaysTheLimit) {
  const std::string big(5000, 'x');
  for (const auto& text : {answer(big), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + big}) {
    Peer peer(loop, answering(text));
    auto request = request_to(peer.origin());
    request.max_body = 4999;
    const auto error = error_of(request);
    EXPECT_EQ(error.code, Code::Malformed);
    EXPECT_EQ(error.detail, peer.origin() + ": the answer is over the limit of 4999 bytes");
  }
  Peer peer(loop, answering(answer(big)));
  auto request = request_to(peer.origin());
  request.max_body = 5000;
  EXPECT_TRUE(ask(request));
}

TEST_F(Client, AHeadWithoutEndIsMalformed) {
  Peer peer(loop, [](Peer::Conn& c) {
    c.say("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100; ++i)
      c.say("X-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n");
  });
  EXPECT_EQ(error_of(request_to(peer.origin())).code, Code::Malformed);
}

TEST_F(Client, SilenceEndsAtTheStallLimitAndLifeDoesNot) {
  int beats = 0;
  loop::Timer beat;
  Peer peer(loop, [&](Peer::Conn& c) {
    c.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    beat = loop.every(Millis{50}, [&] {
      if (++beats <= 8) c.say("x");
    });
  });
  auto request = request_to(peer.origin());
  request.stall_timeout = Millis{200};
  const auto error = error_of(request);
  EXPECT_EQ(error.code, Code::Timeout);
  EXPECT_GE(beats, 8) << "400 ms of life is no stall of 200 ms";
  EXPECT_EQ(error.detail, peer.origin() + ": nothing came for 200 ms");
}

TEST_F(Client, TheTotalTimeoutHoldsHoweverLivelyThePeer) {
  loop::Timer beat;
  Peer peer(loop, [&](Peer::Conn& c) {
    c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    beat = loop.every(Millis{20}, [&] { c.say("x"); });
  });
  auto request = request_to(peer.origin());
  request.total_timeout = Millis{200};
  const auto error = error_of(request);
  EXPECT_EQ(error.code, Code::Timeout);
  EXPECT_FALSE(error.never_left);
}

TEST_F(Client, AHandshakeThatHangsEndsAtTheConnectTimeoutAndNeverLeft) {
  Peer peer(loop, [](Peer::Conn&) {});
  auto request = request_to(peer.origin("https"), "POST", "b");
  request.connect_timeout = Millis{150};
  const auto error = error_of(request);
  EXPECT_EQ(error.code, Code::Timeout);
  EXPECT_TRUE(error.never_left);
  EXPECT_EQ(error.detail, peer.origin("https") + ": no connection within 150 ms");
}

/// The first request on a connection is answered, the second one is read and then the connection closes.
Peer::Script deaf_at_the_second(int& requests) {
  return [&requests](Peer::Conn& c) {
    if (take_request(c).empty()) return;
    if (++requests == 2) return c.hang_up();
    c.say(answer("ok"));
  };
}

TEST_F(Client, APostIsNotSentAgainBehindOurBack) {
  int requests = 0;
  Peer peer(loop, deaf_at_the_second(requests));
  ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "1")));
  const auto error = error_of(request_to(peer.origin(), "POST", "2"));
  EXPECT_EQ(error.code, Code::Network);
  EXPECT_FALSE(error.never_left);
  EXPECT_EQ(requests, 2);
  EXPECT_TRUE(ask(request_to(peer.origin(), "POST", "3"))) << "the next one goes over a new connection";
}

TEST_F(Client, AGetIsSentAgainOnANewConnection) {
  int requests = 0;
  Peer peer(loop, deaf_at_the_second(requests));
  ASSERT_TRUE(ask(request_to(peer.origin())));
  EXPECT_TRUE(ask(request_to(peer.origin())));
  EXPECT_EQ(requests, 3);
}

TEST_F(Client, AnIdleConnectionThatThePeerClosedIsReplaced) {
  Peer peer(loop, answering(answer("ok")));
  ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "1")));
  peer.conns[0]->hang_up();
  loop.run_once(Millis{1});
  EXPECT_TRUE(ask(request_to(peer.origin(), "POST", "2")));
  EXPECT_EQ(peer.conns.size(), 2u);
}

/// What is opened now, also under numbers that connections had, can be waited for.
void expect_new_descriptors_to_be_free(loop::Loop& loop) {
  std::set<int> ready;
  std::set<int> failed;
  std::vector<int> opened;
  std::vector<loop::Handle> watches;
  const auto watch = [&](int fd, loop::Io interest) {
    opened.push_back(fd);
    watches.push_back(
        loop.watch(fd, interest, [&, fd](loop::Ready r) { (r.failed ? failed : ready).insert(fd); }));
  };
  for (int i = 0; i < 4; ++i) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    watch(ends[0], loop::Io::Read);
    watch(ends[1], loop::Io::Write);
  }
  EXPECT_TRUE(drive(loop, [&] { return ready.size() + failed.size() == opened.size(); }));
  EXPECT_TRUE(failed.empty());
  watches.clear();
  for (const int fd : opened)
    close(fd);
}

TEST_F(Client, TheDescriptorOfAClosedConnectionIsFreeForOthers) {
  Peer peer(loop, answering(answer("ok")));
  const int lower = fcntl(0, F_DUPFD_CLOEXEC, 0);
  ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "x")));
  peer.conns.back()->hang_up();
  close(lower);  // the next connection gets this one, so that somebody else gets the first one's
  ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "x")));
  peer.conns.back()->hang_up();
  expect_new_descriptors_to_be_free(loop);
}

/// Listens, and its queue is full: connecting takes for ever.
struct DeafPeer {
  DeafPeer() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* at = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fds[0], at, size), 0);
    EXPECT_EQ(listen(fds[0], 0), 0);
    EXPECT_EQ(getsockname(fds[0], at, &size), 0);
    for (int i = 0; i < 4; ++i) {
      fds.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)connect(fds.back(), at, size);
    }
    origin = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~DeafPeer() {
    for (const int fd : fds)
      close(fd);
  }
  std::vector<int> fds{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string origin;
};

TEST_F(Client, TheDescriptorOfAConnectionThatNeverCameIsFreeForOthers) {
  DeafPeer deaf;
  auto request = request_to(deaf.origin);
  request.connect_timeout = Millis{100};
  EXPECT_EQ(error_of(request).code, Code::Timeout);
  error_of(request_to("http://nobody.invalid/"));  // curl's resolver has descriptors of its own
  expect_new_descriptors_to_be_free(loop);
}

TEST_F(Client, AnIdleConnectionThatThePeerClosedDoesNotKeepTheLoopTurning) {
  Peer peer(loop, answering(answer("ok")));
  ASSERT_TRUE(ask(request_to(peer.origin(), "POST", "x")));
  int turns = 0;
  auto hook = loop.before_wait([&] { ++turns; });
  auto end = loop.after(Millis{200}, [&] { loop.stop(); });
  peer.conns[0]->hang_up();
  loop.run();
  EXPECT_LT(turns, 20);
}

TEST_F(Client, TheEnvironmentsProxyIsIgnoredAndOursIsUsed) {
  Peer peer(loop, answering(answer("direct")));
  std::string seen;
  Peer proxy(loop, [&](Peer::Conn& c) {
    seen = take_request(c);
    c.say(answer("proxied"));
  });
  setenv("http_proxy", proxy.origin().c_str(), 1);
  const auto direct = ask(request_to(peer.origin()));
  auto request = request_to(peer.origin() + "/x");
  request.proxy = Secret("http://user:word@127.0.0.1:" + std::to_string(proxy.port()));
  const auto proxied = ask(request);
  const auto direct_again = ask(request_to(peer.origin()));
  unsetenv("http_proxy");
  ASSERT_TRUE(direct && proxied && direct_again);
  EXPECT_EQ(direct->body, "direct");
  EXPECT_EQ(proxied->body, "proxied");
  EXPECT_EQ(direct_again->body, "direct") << "a pooled handle forgets the proxy";
  EXPECT_THAT(seen, StartsWith("GET " + peer.origin() + "/x HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("Proxy-Authorization: Basic dXNlcjp3b3Jk"));
}

TEST_F(Client, AWaitingPollWakesNobody) {
  Peer peer(loop, [](Peer::Conn&) {});
  auto request = request_to(peer.origin(), "POST", "{}");
  request.total_timeout = request.stall_timeout = Millis{65'000};
  auto call = http.start(request, {});
  ASSERT_TRUE(drive(loop, [&] { return peer.conns.size() == 1 && !peer.conns[0]->in.empty(); }));
  // curl's own timers of the connecting phase run out first; after that three seconds must pass with no more
  // turns than the timer that ends them takes (some three). Something that wakes once a second would never
  // leave such a stretch.
  int turns = 0;
  auto hook = loop.before_wait([&] { ++turns; });
  const auto quiet_stretch = [&] {
    turns = 0;
    auto end = loop.after(Millis{3000}, [&] { loop.stop(); });
    loop.run();
    return turns <= 4;
  };
  bool quiet = false;
  for (int i = 0; i < 10 && !quiet; ++i)
    quiet = quiet_stretch();
  EXPECT_TRUE(quiet) << turns << " turns in the last three seconds";
}

// ---- dropping calls ----

TEST_F(Client, ADroppedCallClosesItsConnectionAndSaysNothing) {
  Peer peer(loop, [](Peer::Conn&) {});
  bool called = false;
  auto call = http.start(request_to(peer.origin()), {nullptr, nullptr, [&](auto) { called = true; }});
  ASSERT_TRUE(drive(loop, [&] { return peer.conns.size() == 1 && !peer.conns[0]->in.empty(); }));
  call.cancel();
  ASSERT_TRUE(drive(loop, [&] { return peer.conns[0]->closed; }));
  EXPECT_FALSE(called);
}

TEST_F(Client, DroppedAtOnceItNeverStarts) {
  bool called = false;
  {
    auto call = http.start(request_to("file:///x"), {nullptr, nullptr, [&](auto) { called = true; }});
  }
  {
    auto call =
        http.start(request_to("http://127.0.0.1:9/"), {nullptr, nullptr, [&](auto) { called = true; }});
  }
  for (int i = 0; i < 5; ++i)
    loop.run_once(Millis{1});
  EXPECT_FALSE(called);
}

TEST_F(Client, CallsMayBeDroppedAndStartedInEveryCallback) {
  Peer peer(loop, answering(answer("body")));
  for (const std::string where : {"head", "data", "done"}) {
    HttpCall first;
    HttpCall other;
    HttpCall next;
    bool after = false;
    bool other_called = false;
    std::optional<Result<HttpResponse>> end;
    const auto act = [&](const std::string& at) {
      if (at != where) return;
      first.cancel();
      other.cancel();
      next = http.start(request_to(peer.origin(), "POST", "n"),
                        {nullptr, nullptr, [&](auto r) { end = std::move(r); }});
    };
    first = http.start(request_to(peer.origin()), {[&](const HttpHead&) { act("head"); },
                                                   [&](std::string_view) {
                                                     if (where == "head") after = true;
                                                     act("data");
                                                   },
                                                   [&](auto) {
                                                     if (where != "done") after = true;
                                                     act("done");
                                                   }});
    other = http.start(request_to("http://127.0.0.1:" + std::to_string(peer.port()) + "/o"),
                       {nullptr, nullptr, [&](auto) { other_called = true; }});
    ASSERT_TRUE(drive(loop, [&] { return end.has_value(); })) << where;
    EXPECT_TRUE(*end) << where;
    EXPECT_FALSE(after) << where;
    (void)other_called;  // either end is right: it may have been answered first
  }
}

TEST(ClientsEnd, CallsMayOutliveTheClient) {
  loop::Loop loop;
  Peer peer(loop, [](Peer::Conn&) {});
  auto http = std::make_unique<CurlClient>(loop);
  const HttpEvents silent{nullptr, nullptr, [](auto) { FAIL(); }};
  auto running = http->start(request_to(peer.origin()), silent);
  ASSERT_TRUE(drive(loop, [&] { return peer.conns.size() == 1; }));
  auto refused = http->start(request_to("file:///x"), silent);
  auto fresh = http->start(request_to(peer.origin()), silent);
  refused.cancel();
  http.reset();
  for (int i = 0; i < 5; ++i)
    loop.run_once(Millis{1});
}

}  // namespace
}  // namespace katana::net
