#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/bus/port.hpp"
#include "common/config/command_line.hpp"
#include "common/config/models.hpp"
#include "common/config/settings.hpp"
#include "common/control/control.hpp"
#include "common/core/backoff.hpp"
#include "common/service/service.hpp"
#include "common/telegram/bot_api.hpp"
#include "gateway/chat/access.hpp"
#include "gateway/chat/chat.hpp"
#include "gateway/dispatch/dispatcher.hpp"
#include "gateway/dispatch/watchers.hpp"
#include "gateway/inbound/inbox.hpp"
#include "gateway/inbound/poller.hpp"
#include "gateway/outbound/outbox.hpp"
#include "gateway/store/store.hpp"

namespace katana::gateway {

struct Counters;

/// The gateway: connects the rooms (inbound → chat → dispatch → worker → dispatch → outbound, with the store
/// underneath) and answers for their health. Owned by `main`, beside the service that it stands on; loop
/// thread only.
class Gateway {
 public:
  /// `line`: for reading the settings again.
  Gateway(service::Service& service, const config::Settings& settings, const config::CommandLine& line,
          config::ModelTable models);
  ~Gateway();

  Result<void> start();
  void drain();
  void stop();
  void reload();
  void report(bus::Heartbeat& beat);
  [[nodiscard]] std::string health_json() const;  ///< an object, for /health and `katana status --json`

 private:
  // start
  void recover();
  void restore(Unfinished unfinished);
  /// A turn that the store has open goes on here. `recovered`: an earlier process may have sent something.
  void take_up(OpenTurn turn, bool recovered);
  void serve();
  void introduced(const telegram::BotUser& me);
  void set_commands();
  void choose_defaults();
  void reload_models();
  void reload_token();

  // the way of a question
  InboxEvents inbox_events();
  DispatchEvents dispatch_events();
  OutboxEvents outbox_events();
  void dispatch(const Opened& opened);
  void show(const Opened& opened);
  /// Where an answer's text gathers until its turn is durable; null from then on.
  std::string* early_text(std::int64_t turn_id);
  void on_first_text(std::int64_t turn_id, Mono when);
  void on_delivered(std::int64_t turn_id, const std::string& abandoned);

  // time
  void tick();
  void check_drained();
  void arm_poller();
  void look_at_the_clock();
  void ask_store();
  [[nodiscard]] std::string write_beat_file() const;
  void beat_file();
  void prune();
  [[nodiscard]] std::string unhealthy_reason() const;

  // what surrounds it
  void watch_surroundings();
  void ask_backlog();
  void from_bus(const bus::PeerId& peer, bus::Message message);
  void look_for_watchdog();
  void tell_admins(const std::string& text);
  /// There while nobody watches and the admins were told so: since when, in Unix time.
  [[nodiscard]] std::string unwatched_path() const { return settings_.state_dir + "/unwatched"; }
  /// There once a watchdog has said hello: from then on it is missed when it doesn't come.
  [[nodiscard]] std::string watched_path() const { return settings_.state_dir + "/watched"; }

  // the operator
  void control(const control::Request& request, const control::ControlServer::Reply& reply);
  void control_allow(const control::Request& request, const control::ControlServer::Reply& reply);
  void control_deny(const control::Request& request, const control::ControlServer::Reply& reply);
  void control_usage(const control::ControlServer::Reply& reply);
  void control_trace(const control::Request& request, const control::ControlServer::Reply& reply);
  void control_dead_letters(const control::Request& request, const control::ControlServer::Reply& reply);
  void retry_dead_letter(std::int64_t turn_id, const control::ControlServer::Reply& reply);
  void drop_dead_letter(std::int64_t turn_id, const control::ControlServer::Reply& reply);
  void count_dead_letters();
  [[nodiscard]] std::string at_work_text() const;
  [[nodiscard]] std::string users_text() const;
  [[nodiscard]] std::string status_text() const;
  [[nodiscard]] control::Answer store_answer() const;

  service::Service& service_;
  const config::Settings& settings_;
  const config::CommandLine& line_;
  Offer offer_;
  Access access_;
  Chat chat_;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<telegram::HttpBotApi> api_;
  std::unique_ptr<LoopAlarm> outbox_alarm_;
  std::unique_ptr<Outbox> outbox_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<bus::JobServer> bus_;
  std::unique_ptr<control::ControlServer> control_;

  loop::Timer tick_timer_;
  loop::Timer poll_timer_;
  loop::Timer beat_file_timer_;
  loop::Timer prune_timer_;
  loop::Timer commands_timer_;
  net::HttpCall commands_call_;
  loop::Timer backlog_timer_;
  net::HttpCall backlog_call_;
  std::uint64_t backlog_ = 0;  ///< updates that wait at Telegram, as it last said
  std::uint64_t backlog_readings_ = 0;
  Watchers watchers_;
  Backoff commands_backoff_{Millis{1'000}, Millis{300'000}};

  /// Text of answers whose turn is dispatched but not yet durable: shown from `show` on.
  std::unordered_map<std::int64_t, std::string> early_text_;
  /// When Telegram handed out the question, for what the asker had to wait.
  struct Asked {
    Mono at{};
    bool text_shown = false;  ///< or may have been, by an earlier process
  };
  std::unordered_map<std::int64_t, Asked> asked_;
  Mono handed_out_{};  ///< the batch under way
  Mono started_;
  std::optional<Mono> last_answer_;
  Mono last_store_answer_;
  std::optional<Mono> held_since_;      ///< Telegram refused the token for a send
  std::optional<Mono> unserved_since_;  ///< questions wait for a provider that no worker of is here
  bool store_asked_ = false;
  std::optional<Wall::duration> wall_ahead_;  ///< of monotonic time, at the last tick
  std::string last_error_;
  std::string beat_file_trouble_;  ///< empty: it is written
  std::size_t dead_letters_ = 0;   ///< as the store last told
  bool draining_ = false;
  bool outbox_awaited_ = false;  ///< the last thing that draining waits for
};

/// A place on the disk that the store is on; if that is another machine's, on the one of our own files.
std::string disk_of(const config::Settings& settings);

/// Reads settings, builds the service and runs it; the exit status.
int run(const config::Settings& settings, const config::CommandLine& line, config::ModelTable models);

}  // namespace katana::gateway
