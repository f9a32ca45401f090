#include "watchdog/cli/drill.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include <simdjson.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/control/control.hpp"
#include "common/core/clock.hpp"

namespace katana::watchdog {
namespace {

constexpr Seconds kQuestionWait{300};
constexpr Seconds kOutcomeWait{120};
constexpr Millis kLook{20};
constexpr Millis kLookForQuestion{100};
constexpr Millis kAnswer{15'000};
constexpr Millis kAnnouncement{70'000};

/// The worker that is going to die, and the question that it is at.
struct Victim {
  std::string job;
  std::string name;
  std::string component;
  std::string host;
  std::int64_t pid = 0;
};

/// The watchdog's view, as far as a drill needs it.
struct View {
  simdjson::dom::parser parser;
  simdjson::dom::element all;

  [[nodiscard]] simdjson::dom::array list(const char* name) const {
    simdjson::dom::array out;
    return all[name].get(out) ? simdjson::dom::array{} : out;
  }
};

template <class T>
T member(simdjson::dom::element object, const char* name) {
  T out{};
  return object[name].get(out) ? T{} : out;
}

/// The pid may be of another namespace, or somebody else's by now: it must be a worker of ours, and stays the
/// same process while it is looked at.
bool kill_here(const Victim& victim) {
  const auto pid = static_cast<pid_t>(victim.pid);
  const int process = pid > 1 ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0)) : -1;
  if (process < 0) return false;
  std::ifstream file("/proc/" + std::to_string(victim.pid) + "/comm");
  std::string program;
  const bool ours = std::getline(file, program) && program == "katana-" + victim.component;
  const bool done = ours && syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0;
  close(process);
  return done;
}

class Drill {
 public:
  explicit Drill(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  int run() {
    auto victim = find_victim();
    if (!victim) return 1;
    std::printf("%s writes the answer of question %s. Announcing it …\n", victim->name.c_str(),
                victim->job.c_str());
    const auto announced = ask("watchdog", {"drill", {"announce", victim->name}}, kAnnouncement);
    if (!announced) return complain(announced.error().detail), 1;
    std::printf("%s", announced->text.c_str());
    if (announced->text.find(": sent") == std::string::npos)
      return complain("it was announced to nobody, and nothing was killed; see katana alert-test"), 1;
    // It may have finished meanwhile.
    victim = find_victim();
    if (!victim || !look()) return 1;
    for (const auto channel : view_.list("channels"))
      sent_[std::string(member<std::string_view>(channel, "name"))] = member<std::uint64_t>(channel, "sent");
    if (!kill_it(*victim)) return 1;
    return watch(*victim);
  }

 private:
  [[nodiscard]] Result<control::Answer> ask(const char* process, const control::Request& request,
                                            Millis limit = kAnswer) const {
    return control::ask(run_dir_ + "/" + process + ".sock", request, limit);
  }
  static void complain(const std::string& why) { std::fprintf(stderr, "katana drill: %s\n", why.c_str()); }
  bool look() {
    const auto answer = ask("watchdog", {"status", {"json"}});
    if (!answer) complain(answer.error().detail);
    return answer && view_.parser.parse(answer->text).get(view_.all) == simdjson::SUCCESS;
  }
  std::optional<Victim> find_victim();
  std::optional<Victim> at_work();
  bool kill_it(const Victim& victim);
  int watch(const Victim& victim);
  void see_processes(const Victim& victim);
  void see_incidents(const Victim& victim);
  void see_channels();
  void see_answer(const Victim& victim);
  void note(const std::string& key, const std::string& line);
  [[nodiscard]] bool seen(const std::string& key) const { return seen_.count(key) != 0; }

  std::string run_dir_;
  View view_;
  std::map<std::string, std::uint64_t> sent_;  ///< by channel, before the kill
  std::map<std::string, bool> seen_;
  std::chrono::steady_clock::time_point killed_;
};

std::optional<Victim> Drill::at_work() {
  const auto jobs = ask("gateway", {"at-work", {}});
  if (!jobs || !look()) return std::nullopt;
  std::istringstream lines(jobs->text);
  for (std::string job, worker; lines >> job >> worker;) {
    for (const auto p : view_.list("processes"))
      if (member<std::string_view>(p, "process_id") == worker)
        return Victim{job, std::string(member<std::string_view>(p, "instance")),
                      std::string(member<std::string_view>(p, "component")),
                      std::string(member<std::string_view>(p, "host")), member<std::int64_t>(p, "pid")};
  }
  return std::nullopt;
}

std::optional<Victim> Drill::find_victim() {
  const auto gateway = ask("gateway", {"at-work", {}});
  if (!gateway) return complain(gateway.error().detail), std::nullopt;
  if (!look()) return std::nullopt;
  bool told = false;
  const auto end = std::chrono::steady_clock::now() + kQuestionWait;
  while (std::chrono::steady_clock::now() < end) {
    if (auto victim = at_work()) return victim;
    if (!std::exchange(told, true)) {
      std::printf("Write to your bot now, something that takes a while, such as: Tell me a long story.\n");
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(kLookForQuestion);
  }
  complain("no worker was at a question within 5 minutes; run it again while somebody asks");
  return std::nullopt;
}

bool Drill::kill_it(const Victim& victim) {
  killed_ = std::chrono::steady_clock::now();
  const auto answer = ask("watchdog", {"drill", {"kill", victim.name}});
  bool done = answer && answer->status == 0;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  // Where somebody else is the judge, this command may still be allowed to, on the same machine.
  if (!done && victim.host == host) {
    killed_ = std::chrono::steady_clock::now();
    done = kill_here(victim);
  }
  if (!done) return complain(answer ? answer->text : answer.error().detail), false;
  std::printf("   0.000 s  %s (process %lld) was killed while it wrote the answer of %s\n",
              victim.name.c_str(), static_cast<long long>(victim.pid), victim.job.c_str());
  return true;
}

void Drill::note(const std::string& key, const std::string& line) {
  if (!seen_.emplace(key, true).second) return;
  const std::chrono::duration<double> after = std::chrono::steady_clock::now() - killed_;
  std::printf("%8.3f s  %s\n", after.count(), line.c_str());
  std::fflush(stdout);
}

void Drill::see_processes(const Victim& victim) {
  for (const auto p : view_.list("processes"))
    if (member<std::string_view>(p, "instance") == victim.name &&
        member<std::string_view>(p, "state") == "up" && member<std::int64_t>(p, "pid") != victim.pid)
      note("back", victim.name + " is back, as process " + std::to_string(member<std::int64_t>(p, "pid")));
}

void Drill::see_incidents(const Victim& victim) {
  const std::string key = "process:" + victim.name;
  const auto see = [&](simdjson::dom::element i, bool over) {
    if (member<std::string_view>(i, "key") != key) return;
    const std::string id(member<std::string_view>(i, "id"));
    if (!seen("opened"))
      note("opened", "incident " + id + ": " + std::string(member<std::string_view>(i, "title")));
    if (over) note("resolved", "incident " + id + " is resolved");
  };
  for (const auto i : view_.list("incidents"))
    see(i, false);
  for (const auto i : view_.list("history")) {
    const auto ago = member<std::int64_t>(view_.all, "at_ms") - member<std::int64_t>(i, "opened_ms");
    const auto since = std::chrono::steady_clock::now() - killed_;
    if (Millis{ago} <= since + Millis{500}) see(i, true);
  }
}

void Drill::see_channels() {
  for (const auto c : view_.list("channels")) {
    const std::string name(member<std::string_view>(c, "name"));
    const auto sent = member<std::uint64_t>(c, "sent") - sent_[name];
    if (sent >= 1) note("page by " + name, "the page was taken by " + name);
    if (sent >= 2) note("end by " + name, "its resolution was taken by " + name);
  }
}

void Drill::see_answer(const Victim& victim) {
  if (seen("answer")) return;
  const auto trace = ask("gateway", {"trace", {victim.job}});
  if (trace && trace->text.find("  delivered") != std::string::npos)
    note("answer", "the answer of " + victim.job + " is delivered whole");
}

int Drill::watch(const Victim& victim) {
  const auto end = killed_ + kOutcomeWait;
  const std::size_t wanted = 4 + 2 * sent_.size();
  while (std::chrono::steady_clock::now() < end && seen_.size() < wanted) {
    if (look()) {
      see_incidents(victim);
      see_channels();
      see_processes(victim);
    }
    see_answer(victim);
    std::this_thread::sleep_for(kLook);
  }
  if (seen_.size() >= wanted) return std::printf("All as it should be.\n"), 0;
  for (const auto& [key, what] :
       std::map<std::string, std::string>{{"opened", "no incident was opened"},
                                          {"back", victim.name + " isn't back"},
                                          {"resolved", "the incident isn't resolved"},
                                          {"answer", "the answer isn't delivered"}})
    if (!seen(key)) std::fprintf(stderr, "katana drill: after 2 minutes %s\n", what.c_str());
  for (const auto& [channel, count] : sent_)
    if (!seen("end by " + channel))
      std::fprintf(stderr, "katana drill: %s didn't take the page and its end; katana status says why\n",
                   channel.c_str());
  return 1;
}

}  // namespace

int run_drill(const std::string& run_dir) {
  return Drill(run_dir).run();
}

}  // namespace katana::watchdog
