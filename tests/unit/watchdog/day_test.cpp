// A day of heartbeats in simulated time on a machine with four times the work that it can do: stalls of a
// second everywhere, the watchdog included. Nobody may be told anything; and whatever really dies in that
// noise must be.
#include <algorithm>
#include <queue>
#include <random>

#include <gtest/gtest.h>

#include "watchdog/incident/judge.hpp"
#include "watchdog/incident/symptoms.hpp"

namespace katana::watchdog {
namespace {

/// Each party is a loop that wants to do something every so often and is sometimes kept from it.
class Day {
 public:
  explicit Day(std::uint32_t seed) : random_(seed) {
    for (const auto& [name, host] :
         {std::pair("gateway", "host"), std::pair("claude-1", "host"), std::pair("openai-1", "host"),
          std::pair("claude-2", "elsewhere"), std::pair("openai-2", "elsewhere")})
      parties_.push_back({name, host, clock_.mono()});
  }

  void run(Millis span) {
    for (const Mono end = clock_.mono() + span; clock_.mono() < end;)
      turn();
  }
  void kill(const std::string& name) { party(name).dead = true; }
  void revive(const std::string& name) {
    party(name).dead = false;
    party(name).process += "'";
    party(name).due = clock_.mono();
  }

  std::vector<Notice> sent;
  int late = 0;  ///< verdicts without consequence: the noise is real

  [[nodiscard]] Mono now() const { return clock_.mono(); }

 private:
  struct Party {
    std::string name;
    std::string host;
    Mono due;
    std::string process = "a";
    bool dead = false;
    std::uint64_t seq = 0;
  };
  struct Flying {
    Mono at;
    bus::Heartbeat beat;
    bool operator<(const Flying& other) const { return at > other.at; }
  };

  Party& party(const std::string& name) {
    return *std::find_if(parties_.begin(), parties_.end(), [&](const Party& p) { return p.name == name; });
  }
  int any(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }
  /// With four runnable threads for each core a wake-up waits for some time slices; and once in a while a
  /// disk or a hypervisor holds everything of a process for a second.
  Millis delay() { return Millis{any(199) == 0 ? 1'000 : any(60)}; }

  /// Busy, at a distance from every limit: the other host's clock is 2 s ahead, a third of the requests fail.
  void surroundings(bus::Heartbeat& b, const Party& p, Mono at) {
    b.sent_at = clock_.wall() + (at - clock_.mono()) + Seconds{p.host == "host" ? 0 : 2};
    b.queue = 200;
    b.oldest_wait_ms = static_cast<std::uint64_t>(any(100'000));
    b.since_poll_ms = static_cast<std::uint64_t>(any(55'000));
    b.pending_readings = p.seq / 120 + 1;
    b.pending_updates = static_cast<std::uint64_t>(any(199));
    b.requests = p.seq * 3;
    b.failed_requests = p.seq;
    b.disk_total_bytes = 100'000'000'000;
    b.disk_free_bytes = 10'000'000'000 + static_cast<std::uint64_t>(any(1'000'000'000));
    b.certificate_endpoint = "https://telegram.example:443";
    b.certificate_expires = clock_.wall() + std::chrono::hours{24 * 20};
  }

  void turn() {
    clock_.advance(Millis{10});
    for (auto& p : parties_) {
      if (p.dead || clock_.mono() < p.due) continue;
      const Mono at = p.due + delay();
      // A repeating timer keeps its hours: after a late beat the next one comes in time, if that isn't past.
      while (p.due <= at)
        p.due += Millis{500};
      bus::Heartbeat b;
      b.component = p.name.substr(0, p.name.find('-'));
      b.instance = p.name;
      b.host = p.host;
      b.pid = 7;
      b.process_id = p.name + p.process;
      b.state = bus::ServiceState::Ready;
      b.seq = ++p.seq;
      b.healthy = true;
      surroundings(b, p, at);
      flying_.push({at + Millis{any(50)}, std::move(b)});
    }
    if (clock_.mono() >= tick_) {
      // Timers come first in a turn of the loop, and what has arrived is read after them.
      tell(roster_.tick(clock_.mono()));
      judge_.tick(roster_.missing(expect_, clock_.mono()), moment());
      symptoms_.tick(moment());
      book_.tick(moment());
      held_ = roster_.due();
      tick_ = held_ + delay();
    }
    if (clock_.mono() >= held_) return;  // our own loop doesn't turn
    while (!flying_.empty() && flying_.top().at <= clock_.mono()) {
      const auto beat = flying_.top().beat;
      flying_.pop();
      tell(roster_.beat(beat, clock_.mono()));
      judge_.beat(beat, moment());
      symptoms_.beat(beat, moment());
    }
  }
  void tell(const Roster::Changes& changes) {
    for (const auto& c : changes) {
      late += c.to == State::Late;
      judge_.changed(c, moment());
      symptoms_.changed(c, moment());
    }
  }
  [[nodiscard]] Now moment() const { return {clock_.mono(), clock_.wall()}; }

  std::mt19937 random_;
  ManualClock clock_;
  std::vector<Party> parties_;
  std::priority_queue<Flying> flying_;
  Mono tick_ = clock_.mono();
  Mono held_ = clock_.mono();
  int ids_ = 0;
  std::map<std::string, int> expect_{{"gateway", 1}, {"claude", 2}, {"openai", 2}};
  Book book_{
      "host",
      "",
      {[this] { return "id" + std::to_string(++ids_); }, [this](const Notice& n) { sent.push_back(n); }}};
  Roster roster_{Limits{},
                 [this](const bus::Heartbeat& b) {
                   if (b.host != "host") return Presence::Unknown;
                   return party(b.instance).dead ? Presence::Gone : Presence::There;
                 },
                 clock_.mono()};
  Judge judge_{book_, roster_, expect_, "host"};
  Symptoms symptoms_{book_, roster_, "host", moment()};
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Twenty times slower there; the whole day is for the release build.
constexpr std::chrono::hours kDay{1};
constexpr int kStalls = 5;
#else
constexpr std::chrono::hours kDay{24};
constexpr int kStalls = 100;
#endif

TEST(Day, OfOverloadAndStallsPagesNobody) {
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    Day day(seed);
    day.run(kDay);
    EXPECT_TRUE(day.sent.empty()) << day.sent.size() << " pages, the first: " << subject(day.sent.front());
    EXPECT_GT(day.late, kStalls) << "there were stalls";
  }
}

TEST(Day, WhatDiesInTheNoiseIsToldAndAlsoItsReturn) {
  Day day(7);
  day.run(std::chrono::minutes{10});
  day.kill("openai-1");
  const Mono killed = day.now();
  while (day.sent.empty() && day.now() - killed < Seconds{10})
    day.run(Millis{10});
  ASSERT_EQ(day.sent.size(), 1u);
  EXPECT_EQ(day.sent[0].where, "openai-1");
  EXPECT_LE(day.now() - killed, Seconds{5}) << "also while everything stalls";
  day.revive("openai-1");
  day.run(std::chrono::minutes{1});
  ASSERT_EQ(day.sent.size(), 2u);
  EXPECT_EQ(day.sent[1].kind, NoticeKind::Resolved);
  day.kill("claude-2");
  day.kill("openai-2");
  day.run(std::chrono::minutes{2});
  ASSERT_EQ(day.sent.size(), 3u) << "one host, one page";
  EXPECT_EQ(day.sent[2].where, "elsewhere");
}

}  // namespace
}  // namespace katana::watchdog
