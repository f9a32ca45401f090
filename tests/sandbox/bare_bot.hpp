#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "client.hpp"
#include "json.hpp"

namespace sandbox {

/// What a test makes a bare bot do wrong.
struct BareFaults {
  std::int64_t lose_every = 0;    ///< forget every so many-th message
  std::int64_t double_every = 0;  ///< answer every so many-th message twice
};

/// The smallest bot there can be: polls, asks Anthropic, sends the answer; stores nothing, survives nothing.
/// It shows how much the sandbox itself can carry, and is what the load generator is tested with.
class BareBot : public Caller {
 public:
  BareBot(Loop& loop, std::string host, int port, std::string token, BareFaults faults = {});
  ~BareBot() override;
  void start() { poll(); }

  void on_reply(ClientConnection& connection, int status, std::string_view body) override;
  void on_lost(ClientConnection& connection, const char* why) override;

 private:
  enum class Step { Idle, Polling, Asking, Sending };
  struct Errand {
    std::unique_ptr<ClientConnection> connection;
    Step step = Step::Idle;
    std::int64_t chat = 0;
    bool twice = false;
    std::string answer;
  };
  void poll();
  void read_updates(std::string_view body);
  void ask(std::int64_t chat, std::string_view text);
  void send(Errand& errand);
  Errand* errand();
  void post(Errand& errand, std::string_view path, std::string_view headers, std::string_view body);

  Loop& loop_;
  std::string host_;
  int port_;
  std::string token_;
  BareFaults faults_;
  std::int64_t offset_ = 0;
  std::int64_t seen_ = 0;
  simdjson::dom::parser parser_;
  std::unordered_map<ClientConnection*, std::unique_ptr<Errand>> errands_;
  std::vector<Errand*> idle_;
};

}  // namespace sandbox
