#include "common/service/service.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/bus/zmq_bus.hpp"
#include "common/core/id.hpp"

namespace katana::service {
namespace {

using bus::ServiceState;
using testing::ElementsAre;
using testing::HasSubstr;

Identity identity() {
  Identity out;
  out.component = "gateway";
  out.drain_limit = Millis{20'000};
  return out;
}

/// A service whose hooks write down what happens, and whose `on_start` is the test's.
struct Watched {
  explicit Watched(Identity id, std::function<void(Watched&)> on_start, Hooks more = {}) {
    Hooks hooks = std::move(more);
    hooks.start = [this, on_start = std::move(on_start)]() -> Result<void> {
      events.emplace_back("start");
      on_start(*this);
      return {};
    };
    if (!hooks.drain) hooks.drain = [this] { drain(); };
    hooks.stop = [this] { events.emplace_back("stop"); };
    hooks.reload = [this] {
      events.emplace_back("reload");
      std::raise(SIGTERM);
    };
    service = std::make_unique<Service>(std::move(id), std::move(hooks));
    guard = service->loop().after(Millis{20'000}, [] { std::abort(); });
  }
  void drain() {
    events.emplace_back("drain");
    work = service->loop().after(Millis{5}, [this] {
      events.emplace_back("done");
      service->drained();
    });
  }

  std::vector<std::string> events;
  std::unique_ptr<Service> service;
  loop::Timer guard, work;
};

TEST(Service, StopsInOrderWhenAsked) {
  Watched w(identity(), [](Watched& self) {
    EXPECT_EQ(self.service->state(), ServiceState::Starting);
    self.service->ready();
    EXPECT_EQ(self.service->state(), ServiceState::Ready);
    std::raise(SIGTERM);
  });
  EXPECT_EQ(w.service->run(), 0);
  EXPECT_THAT(w.events, ElementsAre("start", "drain", "done", "stop"));
  EXPECT_EQ(w.service->state(), ServiceState::Stopped);
}

TEST(Service, WaitsForWorkInHandUpToItsLimit) {
  Identity id = identity();
  id.drain_limit = Millis{30};
  Hooks hooks;
  hooks.drain = [] {};
  Watched w(
      id,
      [](Watched& self) {
        self.service->ready();
        self.service->stop();
      },
      std::move(hooks));
  EXPECT_EQ(w.service->run(), 0);
  EXPECT_THAT(w.events, ElementsAre("start", "stop"));
}

TEST(Service, ASecondSignalEndsItAtOnce) {
  EXPECT_EXIT(
      {
        Hooks hooks;
        hooks.drain = [] { std::raise(SIGINT); };
        Watched w(
            identity(), [](Watched&) { std::raise(SIGTERM); }, std::move(hooks));
        _exit(w.service->run());
      },
      testing::ExitedWithCode(130), "");
}

TEST(Service, AFailureEndsItWithStatusOne) {
  Watched w(identity(), [](Watched& self) {
    self.work = self.service->loop().after(Millis{1}, [&self] {
      self.service->fail({Code::Auth, "refused"});
    });
  });
  EXPECT_EQ(w.service->run(), 1);
  EXPECT_THAT(w.events, ElementsAre("start", "stop"));
}

TEST(Service, AStartThatFailsEndsItWithStatusOne) {
  bool stopped = false;
  Hooks hooks;
  hooks.start = []() -> Result<void> { return fail(Code::Internal, "no store"); };
  hooks.stop = [&] { stopped = true; };
  Service service(identity(), std::move(hooks));
  EXPECT_EQ(service.run(), 1);
  EXPECT_FALSE(stopped);
}

TEST(Service, AnAddressInUseIsAFailedStart) {
  Identity id = identity();

  loop::Loop loop;
  auto taken = net::HttpServer::listen(loop, "127.0.0.1:0",
                                       [](const net::ServerRequest&) { return net::ServerResponse{}; });
  ASSERT_TRUE(taken);
  id.http_address = "127.0.0.1:" + std::to_string((*taken)->port());
  Watched w(id, [](Watched&) { FAIL(); });
  testing::internal::CaptureStdout();  // the log is on the one or on the other, by the tests before this
  testing::internal::CaptureStderr();
  const int status = w.service->run();
  EXPECT_THAT(testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr(),
              HasSubstr("set KATANA_GATEWAY_HTTP to another address, or to off"));
  EXPECT_EQ(status, 1);
}

TEST(Service, SighupReadsAgain) {
  Watched w(identity(), [](Watched& self) {
    self.service->ready();
    std::raise(SIGHUP);
  });
  EXPECT_EQ(w.service->run(), 0);
  EXPECT_THAT(w.events, ElementsAre("start", "reload", "drain", "done", "stop"));
}

/// Asks for pages one after the other, then stops the service.
struct Asker {
  Watched& w;
  std::string base;
  std::vector<std::string> paths;
  std::map<std::string, net::HttpResponse> pages;
  net::HttpCall call;

  void next() {
    if (paths.empty()) return w.service->stop();
    net::HttpRequest request;
    request.method = "GET";
    request.url = base + paths.front();
    request.allow_plain = true;
    net::HttpEvents events;
    events.on_done = [this](Result<net::HttpResponse> response) {
      EXPECT_TRUE(response) << response.error().detail;
      if (response) pages[paths.front()] = *response;
      paths.erase(paths.begin());
      next();
    };
    call = w.service->http().start(std::move(request), std::move(events));
  }
};

std::string free_address() {
  loop::Loop loop;
  auto server = net::HttpServer::listen(loop, "127.0.0.1:0",
                                        [](const net::ServerRequest&) { return net::ServerResponse{}; });
  return "127.0.0.1:" + std::to_string(server.value()->port());
}

TEST(Service, ServesItsPages) {
  Identity id = identity();
  id.http_address = free_address();
  Hooks hooks;
  hooks.report = [](bus::Heartbeat& b) { b.in_flight = 3; };
  hooks.health_json = [] { return R"({"polling":true})"; };
  hooks.http = [](const net::ServerRequest& r) {
    net::ServerResponse out;
    out.body = "own " + std::string(r.path);
    return out;
  };
  std::unique_ptr<Asker> asker;
  Watched w(
      id,
      [&](Watched& self) {
        self.service->metrics().counter("katana_things_total", "Things.").add(2);
        self.service->ready();
        asker = std::make_unique<Asker>(Asker{
            self, "http://" + id.http_address, {"/live", "/health", "/ready", "/metrics", "/mine"}, {}, {}});
        asker->next();
      },
      std::move(hooks));
  EXPECT_EQ(w.service->run(), 0);
  EXPECT_EQ(asker->pages["/live"].head.status, 200);
  EXPECT_EQ(asker->pages["/ready"].head.status, 200);
  EXPECT_EQ(asker->pages["/health"].head.status, 200);
  EXPECT_THAT(asker->pages["/health"].body, HasSubstr("\"in_flight\":3"));
  EXPECT_THAT(asker->pages["/health"].body, HasSubstr("\"polling\":true}"));
  const auto& metrics = asker->pages["/metrics"].body;
  EXPECT_THAT(metrics, HasSubstr("katana_things_total 2\n"));
  EXPECT_THAT(metrics, HasSubstr("katana_ready 1\n"));
  EXPECT_THAT(metrics, HasSubstr("katana_build_info{component=\"gateway\",version=\""));
  EXPECT_THAT(metrics, HasSubstr("katana_process_resident_memory_bytes "));
  EXPECT_EQ(asker->pages["/mine"].body, "own /mine");
  asker.reset();
}

TEST(Service, BeatsUntilItStops) {
  const auto place = std::filesystem::temp_directory_path() / ("katana-service-" + fresh_id());
  std::filesystem::create_directory(place);
  Identity id = identity();
  id.instance = "gateway-a";
  id.watch_endpoint = "ipc://" + (place / "watch.ipc").string();
  std::vector<bus::Heartbeat> beats;
  std::shared_ptr<void> listener;
  Hooks hooks;
  hooks.report = [](bus::Heartbeat& b) { b.progress = 42; };
  {
    Watched w(
        id,
        [&](Watched& self) {
          auto served = self.service->bus().serve_heartbeats(id.watch_endpoint, [&](bus::Heartbeat b) {
            beats.push_back(std::move(b));
            if (beats.back().state == ServiceState::Starting &&
                self.service->state() == ServiceState::Starting) {
              self.service->ready();
            } else if (beats.back().state == ServiceState::Ready) {
              self.service->stop();
            }
          });
          ASSERT_TRUE(served) << served.error().detail;
          listener = *served;
        },
        std::move(hooks));
    EXPECT_EQ(w.service->run(), 0);
    listener.reset();
  }
  std::filesystem::remove_all(place);
  ASSERT_GE(beats.size(), 2U);
  EXPECT_EQ(beats.front().state, ServiceState::Starting);
  const auto ready =
      std::find_if(beats.begin(), beats.end(), [](const auto& b) { return b.state == ServiceState::Ready; });
  ASSERT_NE(ready, beats.end());
  EXPECT_EQ(ready->component, "gateway");
  EXPECT_EQ(ready->instance, "gateway-a");
  EXPECT_EQ(ready->pid, getpid());
  EXPECT_EQ(ready->progress, 42U);
  EXPECT_EQ(ready->build, KATANA_VERSION);
  EXPECT_FALSE(ready->process_id.empty());
  EXPECT_FALSE(ready->host.empty());
  EXPECT_GT(ready->rss_bytes, 1U << 20);
  EXPECT_THAT(ready->metrics, HasSubstr("katana_ready 1\n"));
  for (std::size_t i = 1; i < beats.size(); ++i) {
    EXPECT_GT(beats[i].seq, beats[i - 1].seq);
  }
}

TEST(Service, ALongStartThatGetsOnIsNoHang) {
  const auto place = std::filesystem::temp_directory_path() / ("katana-service-" + fresh_id());
  std::filesystem::create_directory(place);
  Identity id = identity();
  id.watch_endpoint = "ipc://" + (place / "watch.ipc").string();
  loop::Loop watch_loop;
  bus::ZmqBus watch_bus(watch_loop, bus::BusKeys{});
  std::vector<bus::Heartbeat> beats;
  auto listener =
      watch_bus.serve_heartbeats(id.watch_endpoint, [&](bus::Heartbeat b) { beats.push_back(std::move(b)); });
  ASSERT_TRUE(listener) << listener.error().detail;
  {
    Watched w(id, [&](Watched& self) {
      // The loop of the service doesn't turn here: without a word of its own nothing would be heard.
      auto look = watch_loop.every(Millis{10}, [&] {
        self.service->still_starting();
        if (beats.size() >= 3) watch_loop.stop();
      });
      std::raise(SIGALRM);  // half of the hang alarm's patience is gone
      watch_loop.run();
      std::raise(SIGALRM);  // it began anew meanwhile
      self.service->ready();
      self.service->stop();
    });
    EXPECT_EQ(w.service->run(), 0);
  }
  std::filesystem::remove_all(place);
  ASSERT_GE(beats.size(), 3U);
  EXPECT_EQ(beats[2].state, ServiceState::Starting);
  EXPECT_GT(beats[2].progress, beats[0].progress);
}

TEST(Service, TellsSystemd) {
  const std::string name = "@katana-service-" + fresh_id();
  const int systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  name.copy(at.sun_path, sizeof(at.sun_path) - 1);
  at.sun_path[0] = '\0';
  ASSERT_EQ(bind(systemd, reinterpret_cast<const sockaddr*>(&at),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
            0);
  setenv("NOTIFY_SOCKET", name.c_str(), 1);
  setenv("WATCHDOG_USEC", "1000000", 1);
  std::vector<std::string> told;
  loop::Handle heard;
  Watched w(identity(), [&](Watched& self) {
    heard = self.service->loop().watch(systemd, loop::Io::Read, [&](loop::Ready) {
      char text[64];
      const ssize_t n = recv(systemd, text, sizeof(text), 0);
      if (n > 0) told.emplace_back(text, static_cast<std::size_t>(n));
      if (told.size() == 2) self.service->stop();
    });
    self.service->ready();
  });
  EXPECT_EQ(w.service->run(), 0);
  heard.reset();
  EXPECT_THAT(told, ElementsAre("READY=1", "WATCHDOG=1", "STOPPING=1"));
  close(systemd);
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
}

}  // namespace
}  // namespace katana::service
