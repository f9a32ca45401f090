#include "common/net/http_server.hpp"

#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/curl_client.hpp"
#include "tests/unit/net/peer.hpp"

namespace katana::net {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// A plain TCP connection to the server, for what a decent client wouldn't send.
class RawClient {
 public:
  RawClient(loop::Loop& loop, std::uint16_t port)
      : loop_(loop), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
      if (n < 0 && errno != EAGAIN) return;
      loop_.run_once(Millis{0});
    }
  }
  /// All that comes until `text` is part of it or the server hangs up.
  std::string hear(std::string_view text) {
    drive(
        loop_, [&] { return got_.find(text) != std::string::npos || !read_some(); }, Millis{1});
    return got_;
  }
  std::string hear_to_the_end() {
    drive(
        loop_, [&] { return !read_some(); }, Millis{1});
    return got_;
  }

 private:
  bool read_some() {
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) got_.append(buffer, static_cast<std::size_t>(n));
    return n > 0 || (n < 0 && errno == EAGAIN);
  }
  loop::Loop& loop_;
  int fd_;
  std::string got_;
};

struct Server : testing::Test {
  loop::Loop loop;
  CurlClient http{loop};
  std::unique_ptr<HttpServer> server;

  void serve(HttpServer::Handler handler) {
    auto made = HttpServer::listen(loop, "127.0.0.1:0", std::move(handler));
    ASSERT_TRUE(made) << made.error().detail;
    server = std::move(*made);
    ASSERT_NE(server->port(), 0);
  }
  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server->port()) + path;
  }
  Result<HttpResponse> ask(const std::string& method, const std::string& path, std::string body = {},
                           std::vector<std::string> headers = {}) {
    HttpRequest request;
    request.method = method;
    request.url = url(path);
    request.body = std::move(body);
    request.headers = std::move(headers);
    request.allow_plain = true;
    std::optional<Result<HttpResponse>> got;
    auto call = http.start(std::move(request), {nullptr, nullptr, [&](auto r) { got = std::move(r); }});
    if (!drive(loop, [&] { return got.has_value(); })) return fail(Code::Internal, "the test waited in vain");
    return std::move(*got);
  }
};

TEST_F(Server, GivesTheHandlerAllOfARequest) {
  serve([](const ServerRequest& r) {
    ServerResponse out;
    out.status = 201;
    out.content_type = "application/json";
    out.headers = {{"X-Answer", "42"}};
    out.body = std::string(r.method) + " " + std::string(r.path) + " q=" + std::string(r.query("q")) +
               " none=" + std::string(r.query("none")) + " h=" + std::string(r.header("X-TEST")) + " " +
               std::string(r.body) + " from " + r.peer;
    return out;
  });
  const auto result = ask("POST", "/a/b?q=1%202&x=", "the body", {"x-test: yes"});
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->head.status, 201);
  EXPECT_EQ(result->head.find("content-type"), "application/json");
  EXPECT_EQ(result->head.find("x-answer"), "42");
  EXPECT_EQ(result->body, "POST /a/b q=1 2 none= h=yes the body from 127.0.0.1");
}

TEST_F(Server, HeadIsAnsweredLikeGetWithoutTheBody) {
  serve([](const ServerRequest& r) { return ServerResponse{200, "text/plain", std::string(r.method)}; });
  const auto result = ask("HEAD", "/live");
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->head.find("content-length"), "3");
  EXPECT_EQ(result->body, "");
}

TEST_F(Server, BodiesUpToOneMebibyteAreTakenWhole) {
  serve([](const ServerRequest& r) {
    return ServerResponse{200, "text/plain", std::to_string(r.body.size())};
  });
  const auto whole = ask("POST", "/", std::string(1 << 20, 'x'));
  ASSERT_TRUE(whole) << whole.error().detail;
  EXPECT_EQ(whole->body, "1048576");
  RawClient announced(loop, server->port());
  announced.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n");
  EXPECT_THAT(announced.hear("\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_TRUE(ask("GET", "/"));
}

TEST_F(Server, AChunkedBodyOverTheLimitIsHungUpOn) {
  int served = 0;
  serve([&](const ServerRequest&) {
    ++served;
    return ServerResponse{};
  });
  RawClient client(loop, server->port());
  client.say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  for (int i = 0; i < 17; ++i)
    client.say(chunk);
  client.hear_to_the_end();
  EXPECT_EQ(served, 0);
}

TEST_F(Server, ARequestMayComeByteByByte) {
  int served = 0;
  serve([&](const ServerRequest& r) {
    ++served;
    return ServerResponse{200, "text/plain", std::string(r.query("q")) + " " + std::string(r.body)};
  });
  for (const std::string_view request :
       {"POST /a?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nthe body",
        "POST /a?q=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nthe\r\n5\r\n body\r\n0\r\n\r\n"}) {
    RawClient client(loop, server->port());
    for (const char byte : request)
      client.say({&byte, 1});
    EXPECT_THAT(client.hear("1 the body"), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_EQ(served, 2);
}

TEST_F(Server, GarbageHarmsNobody) {
  serve([](const ServerRequest&) { return ServerResponse{200, "text/plain", "fine"}; });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (const std::string& garbage : {std::string("\0\1\2\3\r\n\r\n", 8), std::string("GET\r\n\r\n"),
                                     "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n",
                                     std::string("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n")}) {
    clients.push_back(std::make_unique<RawClient>(loop, server->port()));
    clients.back()->say(garbage);
    for (int i = 0; i < 5; ++i)
      loop.run_once(Millis{1});
  }
  const auto result = ask("GET", "/");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->body, "fine");
}

TEST_F(Server, StreamsReachTheClientAsTheyAreWritten) {
  std::shared_ptr<EventStream> stream;
  serve([&](const ServerRequest&) {
    ServerResponse out;
    out.content_type = "text/event-stream";
    out.stream = [&](std::shared_ptr<EventStream> s) {
      stream = std::move(s);
      EXPECT_TRUE(stream->write("data: first\n\n"));
    };
    return out;
  });
  std::string got;
  std::optional<Result<HttpResponse>> end;
  HttpRequest request;
  request.method = "GET";
  request.url = url("/api/events");
  request.allow_plain = true;
  auto call = http.start(
      request, {nullptr, [&](std::string_view d) { got += d; }, [&](auto r) { end = std::move(r); }});
  ASSERT_TRUE(drive(loop, [&] { return got == "data: first\n\n"; })) << got;
  EXPECT_TRUE(stream->write("data: second\n\n"));
  ASSERT_TRUE(drive(loop, [&] { return got == "data: first\n\ndata: second\n\n"; })) << got;
  stream.reset();
  ASSERT_TRUE(drive(loop, [&] { return end.has_value(); }));
  EXPECT_TRUE(*end) << "a dropped stream ends in good order";
}

TEST_F(Server, AStreamTellsWhenItsClientHasGone) {
  std::shared_ptr<EventStream> stream;
  serve([&](const ServerRequest&) {
    ServerResponse out;
    out.stream = [&](std::shared_ptr<EventStream> s) { stream = std::move(s); };
    return out;
  });
  {
    RawClient client(loop, server->port());
    client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.hear("\r\n\r\n");
    ASSERT_TRUE(stream);
  }
  EXPECT_TRUE(drive(loop, [&] { return !stream->write(": still there?\n\n"); }));
}

TEST_F(Server, AStreamThatNobodyReadsHoldsFourMebibytesAtMost) {
  std::shared_ptr<EventStream> stream;
  serve([&](const ServerRequest&) {
    ServerResponse out;
    out.stream = [&](std::shared_ptr<EventStream> s) { stream = std::move(s); };
    return out;
  });
  RawClient client(loop, server->port());
  client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  client.hear("\r\n\r\n");
  ASSERT_TRUE(stream);
  const std::string kilobyte(1024, 'x');
  int kilobytes = 0;
  while (kilobytes < 5000 && stream->write(kilobyte))
    ++kilobytes;  // the loop doesn't turn: nothing is sent
  EXPECT_EQ(kilobytes, 4096);
}

TEST_F(Server, HalfOfTheConnectionsStayFreeOfStreams) {
  std::vector<std::shared_ptr<EventStream>> streams;
  serve([&](const ServerRequest& r) {
    ServerResponse out;
    if (r.path == "/events")
      out.stream = [&](std::shared_ptr<EventStream> s) { streams.push_back(std::move(s)); };
    return out;
  });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 32; ++i) {
    clients.push_back(std::make_unique<RawClient>(loop, server->port()));
    clients.back()->say("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_THAT(clients.back()->hear("\r\n\r\n"), StartsWith("HTTP/1.1 200 ")) << i;
  }
  RawClient extra(loop, server->port());
  extra.say("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(extra.hear("\r\n\r\n"), StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(ask("GET", "/live"));
}

TEST_F(Server, MayEndWithOpenStreamsAndStreamsMayOutliveIt) {
  std::shared_ptr<EventStream> stream;
  serve([&](const ServerRequest&) {
    ServerResponse out;
    out.stream = [&](std::shared_ptr<EventStream> s) { stream = std::move(s); };
    return out;
  });
  RawClient client(loop, server->port());
  client.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  client.hear("\r\n\r\n");
  ASSERT_TRUE(stream);
  loop.run_once(Millis{0});
  server.reset();
  EXPECT_FALSE(stream->write("x"));
}

TEST_F(Server, IdleItSleepsAlsoWithAnOpenConnectionAndAStream) {
  std::shared_ptr<EventStream> stream;
  serve([&](const ServerRequest& r) {
    ServerResponse out;
    if (r.path == "/events") out.stream = [&](std::shared_ptr<EventStream> s) { stream = std::move(s); };
    return out;
  });
  RawClient kept(loop, server->port());
  kept.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  kept.hear("\r\n\r\n");
  RawClient streaming(loop, server->port());
  streaming.say("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  streaming.hear("\r\n\r\n");
  for (int i = 0; i < 10; ++i)
    loop.run_once(Millis{1});
  int turns = 0;
  auto hook = loop.before_wait([&] { ++turns; });
  auto end = loop.after(Millis{300}, [&] { loop.stop(); });
  loop.run();
  EXPECT_LE(turns, 8);
}

TEST(ServerAddress, BadOnesAreRefusedWithAReason) {
  loop::Loop loop;
  for (const char* bad :
       {"", "127.0.0.1", ":80", "::1:80", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:8x"}) {
    const auto server = HttpServer::listen(loop, bad, [](const ServerRequest&) { return ServerResponse{}; });
    ASSERT_FALSE(server) << bad;
    EXPECT_EQ(server.error().code, Code::Rejected) << bad;
    EXPECT_THAT(server.error().detail, HasSubstr(bad));
  }
}

TEST(ServerAddress, ATakenPortIsAnErrorThatNamesIt) {
  loop::Loop loop;
  const auto nothing = [](const ServerRequest&) { return ServerResponse{}; };
  const auto first = HttpServer::listen(loop, "127.0.0.1:0", nothing);
  ASSERT_TRUE(first);
  const std::string address = "127.0.0.1:" + std::to_string((*first)->port());
  const auto second = HttpServer::listen(loop, address, nothing);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().detail, "listening on " + address + ": Address already in use");
}

}  // namespace
}  // namespace katana::net
