#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/bus/zmq_bus.hpp"
#include "common/config/command_line.hpp"
#include "common/config/settings.hpp"
#include "common/control/control.hpp"
#include "common/core/clock.hpp"
#include "common/service/service.hpp"
#include "watchdog/channels/delivery.hpp"
#include "watchdog/channels/disk.hpp"
#include "watchdog/duty/dead_man.hpp"
#include "watchdog/duty/desk.hpp"
#include "watchdog/duty/ops_chat.hpp"
#include "watchdog/incident/book.hpp"
#include "watchdog/incident/judge.hpp"
#include "watchdog/incident/symptoms.hpp"
#include "watchdog/liveness/exits.hpp"
#include "watchdog/liveness/presence.hpp"
#include "watchdog/liveness/roster.hpp"
#include "watchdog/status/history.hpp"
#include "watchdog/status/site.hpp"
#include "watchdog/supervisor/link.hpp"
#include "watchdog/supervisor/supervisor.hpp"

namespace katana::watchdog {

/// The process `katana-watchdog`: connects the rooms. Beats, ticks and exits go to the roster; what changes
/// goes to the judge; what the book says goes to every channel's spool; under `katana up` what the supervisor
/// orders goes to the parent. Owned by `main`; one a process.
class Watchdog {
 public:
  /// `line`: for reading the settings again; outlives us. `supervise`: `katana up` started us, and its socket
  /// is our standard input.
  Watchdog(config::Settings settings, const config::CommandLine& line, bool supervise);
  int run();

 private:
  /// The component of the dead-man switch's own heartbeats: no process of the deployment.
  static constexpr const char* kSelfCheck = "self-check";

  service::Hooks hooks();
  void report(bus::Heartbeat& beat);
  Result<void> start();
  [[nodiscard]] std::vector<std::unique_ptr<Channel>> open();
  Result<void> open_deliveries();
  Result<void> open_doors();
  Result<void> open_dead_man();
  void open_surroundings();
  void look_at_surroundings();
  void any_channel(const Notice& notice, std::function<void(Result<void>)> then);
  void restore_incidents();
  void recover_notices();
  void resume_channels();
  Result<void> open_ops_chat();
  [[nodiscard]] std::unique_ptr<telegram::BotApi> alert_bot();
  [[nodiscard]] std::int64_t ops_chat_id() const;
  void drain();
  void reload();

  void heard(const bus::Heartbeat& beat);
  void tick();
  void apply(const Roster::Changes& changes);
  void vanished(const std::string& instance, std::int64_t pid);
  void bury(const std::string& instance);
  void settle();
  void keep_book();
  void publish_soon();
  void book_kept(const Result<void>& outcome, std::vector<Kept> ends);
  void notify(const Notice& notice);
  Result<std::string> restart(const std::string& instance);

  void from_parent(FromParent message);
  void child_exited(const Exited& exited);
  void parent_gone();
  void stop_orphans();

  void answer(const control::Request& request, control::ControlServer::Reply reply);
  [[nodiscard]] control::Answer on_duty(const control::Request& request);
  void reply_when_kept(control::Answer answer, control::ControlServer::Reply reply);
  void alert_test(control::ControlServer::Reply reply);
  void drill(const control::Request& request, control::ControlServer::Reply reply);
  void send_test(const std::string& title, const std::string& effect, control::ControlServer::Reply reply);
  Snapshot snapshot();
  void restore_history();
  void keep_history();
  [[nodiscard]] Now now() const;

  config::Settings settings_;
  const config::CommandLine& line_;
  std::string host_;
  bool supervise_;
  bool stopping_ = false;
  service::Service service_;
  std::string directory_;

  std::unique_ptr<Disk> disk_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;
  std::unique_ptr<Roster> roster_;
  loop::Timer limit_timer_;  ///< for a tick before the regular one
  std::unique_ptr<Exits> exits_;
  struct Vanished {
    Change change;
    loop::Timer wait;  ///< for its goodbye
  };
  std::map<std::string, Vanished> vanishing_;  ///< by instance
  std::unique_ptr<Book> book_;
  std::unique_ptr<Judge> judge_;
  std::unique_ptr<Symptoms> symptoms_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<OpsChat> ops_chat_;
  std::unique_ptr<DeadMan> dead_man_;
  std::uint64_t kept_revision_ = 0;
  bool keeping_ = false;
  std::optional<Error> not_kept_;  ///< why the book's last writing failed
  loop::Timer keep_again_;
  std::vector<Kept> heard_ends_;  ///< of children, which aren't on disk yet

  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<ParentLink> parent_;
  bool begun_ = false;
  std::map<std::string, std::pair<std::int64_t, std::uint64_t>>
      children_;  ///< name -> pid and its start time
  Mono orphaned_{};
  std::map<std::string, LastWords> last_words_;  ///< by instance

  std::unique_ptr<BusPresence> presence_;
  loop::Timer presence_timer_;
  std::shared_ptr<void> heartbeats_;
  std::unique_ptr<bus::HeartbeatSink> own_beats_;  ///< the dead-man switch's way in
  History history_;
  bool keeping_history_ = false;
  std::unique_ptr<Site> site_;
  bool publishing_ = false;
  std::unique_ptr<control::ControlServer> control_;
  std::vector<loop::Timer> timers_;
};

}  // namespace katana::watchdog
