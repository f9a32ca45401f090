#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "common/bus/port.hpp"
#include "common/core/clock.hpp"
#include "common/net/http.hpp"
#include "workers/claude/claude.hpp"
#include "workers/worker.hpp"

namespace katana::workers {

/// The provider's server: it answers as the test says.
class FakeHttp final : public net::HttpClient {
 public:
  struct Request {
    net::HttpRequest sent;
    net::HttpEvents events;
    bool closed = false;  ///< by the worker
  };

  net::HttpCall start(net::HttpRequest request, net::HttpEvents events) override {
    requests.push_back(std::make_shared<Request>(Request{std::move(request), std::move(events)}));
    struct State final : net::HttpCall::State {
      std::shared_ptr<Request> request;
      void cancel() override { request->closed = true; }
    };
    auto state = std::make_shared<State>();
    state->request = requests.back();
    return net::HttpCall(std::move(state));
  }

  void head(std::size_t i, int status, std::vector<std::pair<std::string, std::string>> headers = {}) {
    const auto r = requests.at(i);
    if (!r->closed) r->events.on_head({status, std::move(headers)});
  }
  void data(std::size_t i, std::string_view bytes) {
    const auto r = requests.at(i);
    if (!r->closed) r->events.on_data(bytes);
  }
  void done(std::size_t i, int status = 200, std::vector<std::pair<std::string, std::string>> headers = {}) {
    const auto r = requests.at(i);
    if (!r->closed) r->events.on_done(net::HttpResponse{{status, std::move(headers)}, {}});
  }
  void broken(std::size_t i, Error error) {
    const auto r = requests.at(i);
    if (!r->closed) r->events.on_done(tl::unexpected(std::move(error)));
  }
  void refuse(std::size_t i, int status, std::vector<std::pair<std::string, std::string>> headers = {},
              const std::string& type = "api_error") {
    head(i, status, headers);
    data(i, R"({"type":"error","error":{"type":")" + type + R"(","message":"words"}})");
    done(i, status, headers);
  }

  std::vector<std::shared_ptr<Request>> requests;
};

/// A gateway, as far as the worker's socket shows it.
class FakeClient final : public bus::JobClient {
 public:
  Result<void> send(const bus::Message& message) override {
    if (full) return fail(Code::Overloaded, "the queue is full");
    if (const auto* credit = std::get_if<bus::Credit>(&message)) window = credit->window;
    sent.push_back(message);
    return {};
  }
  void reconnect() override {
    ++reconnects;
    sent.clear();
  }

  template <class T>
  [[nodiscard]] std::vector<T> all() const {
    std::vector<T> out;
    for (const auto& message : sent) {
      if (const T* is = std::get_if<T>(&message)) out.push_back(*is);
    }
    return out;
  }
  /// All text chunks of a job together, as a gateway would show it.
  [[nodiscard]] std::string text(const std::string& job_id) const {
    std::string out;
    for (const auto& chunk : all<bus::Chunk>()) {
      if (chunk.job.job_id != job_id) continue;
      out = chunk.whole ? chunk.text : out + chunk.text;
    }
    return out;
  }

  std::vector<bus::Message> sent;
  bool full = false;
  int reconnects = 0;
  std::uint32_t window = 0;  ///< the credit it was given last
};

/// A worker in a world of its own: simulated time, one provider, as many gateways as the test wants.
class World : public testing::Test {
 protected:
  explicit World(std::vector<Secret> keys = {Secret("sk-ant-key-one")}, std::uint32_t jobs = 8) {
    worker = std::make_unique<Worker>(
        Worker::Options{.worker_id = "w1", .build = "test", .keys = std::move(keys), .jobs = jobs},
        Worker::Ports{.provider = *provider,
                      .http = http,
                      .clock = clock,
                      .on_report = [this](const CallReport& report) { reports.push_back(report); },
                      .on_busy = [this](bool now) { busy = now; },
                      .on_words =
                          [this] {
                            if (!turn_goes_on) worker->speak();
                          },
                      .on_drained = [this] { ++drained; }});
  }

  FakeClient& gateway() {
    auto client = std::make_unique<FakeClient>();
    clients.push_back(client.get());
    worker->on_connected(worker->add_gateway("ipc://g", std::move(client)));
    return *clients.back();
  }
  /// A gateway that has welcomed the worker.
  FakeClient& joined() {
    FakeClient& client = gateway();
    say(bus::Welcome{.gateway_id = "g" + std::to_string(clients.size())}, clients.size() - 1);
    return client;
  }
  void say(bus::Message message, std::size_t from = 0) { worker->on_message(from, std::move(message)); }

  static bus::Job job(const std::string& id, std::uint32_t attempt = 1) {
    return {.job = {id, attempt},
            .time_left_ms = 600'000,
            .model = "m",
            .turns = {{bus::Speaker::User, "What is up?"}},
            .max_output_tokens = 100};
  }

  /// Time goes by, with the beats and ticks that the program would give; gateways stay alive unless `silent`.
  void pass(Millis time, bool silent = false) {
    for (Millis gone{0}; gone < time; gone += Worker::kTick) {
      clock.advance(Worker::kTick);
      since_beat += Worker::kTick;
      if (busy) worker->tick();
      if (since_beat < Worker::kBeat) continue;
      since_beat = Millis{0};
      for (std::size_t i = 0; i < clients.size() && !silent; ++i)
        say(bus::Beat{}, i);
      worker->beat();
    }
  }

  void stream_starts(std::size_t i) {
    http.head(i, 200, {{"content-type", "text/event-stream"}, {"request-id", "req_9"}});
    http.data(i,
              "event: message_start\ndata: {\"message\":{\"id\":\"msg\",\"model\":\"m-1\",\"usage\":"
              "{\"input_tokens\":7,\"output_tokens\":1}}}\n\n");
  }
  void text(std::size_t i, const std::string& piece) {
    http.data(i, "event: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"" + piece +
                     "\"}}\n\n");
  }
  void stream_ends(std::size_t i) {
    http.data(i,
              "event: message_delta\ndata: "
              "{\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}"
              "\n\nevent: message_stop\ndata: {}\n\n");
    http.done(i);
  }
  void ping(std::size_t i) { http.data(i, "event: ping\ndata: {}\n\n"); }
  void answer(std::size_t i, const std::string& words) {
    stream_starts(i);
    text(i, words);
    stream_ends(i);
  }

  ManualClock clock;
  FakeHttp http;
  std::unique_ptr<Provider> provider = claude::make_provider({.base_url = "https://h"});
  std::vector<FakeClient*> clients;
  std::vector<CallReport> reports;
  std::unique_ptr<Worker> worker;
  Millis since_beat{0};
  bool busy = false;
  bool turn_goes_on = false;  ///< what the worker has to say waits for `speak`
  int drained = 0;
};

}  // namespace katana::workers
