// The HTTP server over real sockets: whole, in pieces, pipelined, broken.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_server.hpp"

namespace sandbox {
namespace {

/// A server whose reply says what it got, and a client that sends bytes as it is told.
class Server : public ::testing::Test {
 protected:
  Server()
      : record_(100, 1U << 20),
        http_(loop_, record_, [this](HttpConnection& connection, const Request& request) {
          if (request.path == "/stream") {
            connection.begin(200, "text/plain");
            connection.write("one ");
            connection.write("two");
            return connection.end();
          }
          if (request.path == "/later") {
            later_ = &connection;
            return;
          }
          if (request.path == "/cut") return connection.cut(false);
          connection.reply(200, "text/plain",
                           std::string(request.method) + " " + std::string(request.path) + " " +
                               std::string(request.body));
        }) {
    port_ = http_.listen("127.0.0.1:0");
  }

  /// Sends `bytes` in pieces of `piece`, turning the loop after each; all that came back until the server
  /// falls silent.
  std::string talk(const std::string& bytes, std::size_t piece = ~std::size_t{0}) {
    const int fd = connect_loopback("127.0.0.1", port_);
    std::string reply;
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(fd, bytes.data() + at, std::min(piece, bytes.size() - at), MSG_NOSIGNAL);
      if (sent > 0) at += static_cast<std::size_t>(sent);
      if (sent < 0 && errno != EAGAIN) break;
      loop_.turn(kMilli);
      collect(fd, reply);
    }
    for (int quiet = 0; quiet < 5; ++quiet) {
      loop_.turn(2 * kMilli);
      if (collect(fd, reply)) quiet = 0;
    }
    ::close(fd);
    loop_.turn(kMilli);
    return without_dates(std::move(reply));
  }
  static std::string without_dates(std::string reply) {
    constexpr std::string_view kName = "Date: ";
    constexpr std::size_t kLine = kName.size() + 31;  // RFC 9110's dates are of one length
    for (auto at = reply.find(kName); at != std::string::npos; at = reply.find(kName, at)) {
      EXPECT_EQ(reply.substr(at + kLine - 6, 6), " GMT\r\n");
      reply.erase(at, kLine);
    }
    return reply;
  }
  static bool collect(int fd, std::string& reply) {
    char buffer[4096];
    const ssize_t count = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count > 0) reply.append(buffer, static_cast<std::size_t>(count));
    return count > 0;
  }

  Loop loop_;
  Record record_;
  HttpServer http_;
  HttpConnection* later_ = nullptr;
  int port_ = 0;
};

std::string ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST_F(Server, AnswersTheSameWholeAndByteByByte) {
  const std::string plain = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
  EXPECT_EQ(talk(plain), ok("POST /a hello"));
  EXPECT_EQ(talk(plain, 1), ok("POST /a hello"));
  const std::string chunked =
      "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
  EXPECT_EQ(talk(chunked), ok("POST /a hello"));
  EXPECT_EQ(talk(chunked, 1), ok("POST /a hello"));
}

TEST_F(Server, AnswersPipelinedRequestsInTheirOrder) {
  EXPECT_EQ(talk("GET /1 HTTP/1.1\r\n\r\nGET /stream HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
            ok("GET /1 ") +
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none "
                "\r\n3\r\ntwo\r\n0\r\n\r\n" +
                ok("GET /2 "));
}

TEST_F(Server, KeepsALaterReplyBeforeTheNextRequest) {
  const int fd = connect_loopback("127.0.0.1", port_);
  const std::string both = "GET /later HTTP/1.1\r\n\r\nGET /after HTTP/1.1\r\n\r\n";
  loop_.turn(kMilli);
  ASSERT_EQ(::send(fd, both.data(), both.size(), 0), static_cast<ssize_t>(both.size()));
  std::string reply;
  for (int i = 0; i < 5; ++i)
    loop_.turn(kMilli);
  ASSERT_NE(later_, nullptr);
  EXPECT_FALSE(collect(fd, reply));
  later_->reply(200, "text/plain", "at last");
  for (int i = 0; i < 5; ++i) {
    loop_.turn(kMilli);
    collect(fd, reply);
  }
  EXPECT_EQ(without_dates(reply), ok("at last") + ok("GET /after "));
  ::close(fd);
}

TEST_F(Server, SaysContinue) {
  const int fd = connect_loopback("127.0.0.1", port_);
  loop_.turn(kMilli);
  std::string reply;
  const auto say = [&](const std::string& bytes) {
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    for (int i = 0; i < 5; ++i) {
      loop_.turn(kMilli);
      collect(fd, reply);
    }
  };
  say("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(reply, "HTTP/1.1 100 Continue\r\n\r\n");
  reply.clear();
  say("hi");
  EXPECT_EQ(without_dates(reply), ok("POST /a hi"));
  ::close(fd);
}

TEST_F(Server, ClosesWhenAsked) {
  const std::string reply = talk("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(
      reply,
      "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 7\r\n\r\nGET /a ");
  EXPECT_EQ(http_.connections(), 0u);
}

TEST_F(Server, RefusesWhatIsBrokenAndTooLarge) {
  EXPECT_EQ(talk("nonsense\r\n\r\n").substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(talk("GET /" + std::string(70'000, 'x')).substr(0, 12), "HTTP/1.1 431");
  EXPECT_EQ(talk("POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n").substr(0, 12), "HTTP/1.1 413");
  EXPECT_EQ(talk("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").substr(0, 12),
            "HTTP/1.1 400");
  EXPECT_EQ(http_.connections(), 0u);
}

TEST_F(Server, RecordsHowEachRequestEnded) {
  talk("GET /a HTTP/1.1\r\n\r\nGET /stream HTTP/1.1\r\n\r\nGET /cut HTTP/1.1\r\n\r\n");
  talk("GET /later HTTP/1.1\r\n\r\n");
  ASSERT_EQ(record_.entries().size(), 4u);
  EXPECT_EQ(record_.find(1)->outcome, "answered");
  EXPECT_EQ(record_.find(2)->outcome, "streamed");
  EXPECT_EQ(record_.find(3)->outcome, "cut");
  EXPECT_EQ(record_.find(4)->outcome, "gone");
}

TEST_F(Server, OutlivesRandomBytes) {
  std::uint32_t state = 7;
  for (int i = 0; i < 300; ++i) {
    std::string bytes =
        i % 2 == 0 ? "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" : "GET / HTTP/1.1\r\n";
    for (int j = 0; j < 60; ++j)
      bytes += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    const int fd = connect_loopback("127.0.0.1", port_);
    loop_.turn(0);
    ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    loop_.turn(0);
    ::close(fd);
    loop_.turn(0);
  }
  EXPECT_EQ(talk("GET /alive HTTP/1.1\r\n\r\n"), ok("GET /alive "));
}

}  // namespace
}  // namespace sandbox
