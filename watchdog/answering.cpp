// Watchdog, what others see of it and ask it: the snapshot behind the page, and the control socket.
#include <algorithm>
#include <csignal>
#include <filesystem>

#include "common/core/id.hpp"
#include "common/log/log.hpp"
#include "watchdog/status/table.hpp"
#include "watchdog/watchdog.hpp"

namespace katana::watchdog {
namespace {

constexpr std::size_t kMaxHistoryFile = 8 << 20;
constexpr Millis kKeptWithin{3'000};

constexpr log::Room kLog{"watchdog"};

}  // namespace

Snapshot Watchdog::snapshot() {
  Snapshot s;
  s.now = now();
  s.host = host_;
  s.supervising = supervise_;
  s.roster = roster_.get();
  s.book = book_.get();
  s.expect = settings_.expect;
  s.last_words = &last_words_;
  s.history = &history_;
  s.certificate = service_.http().earliest_certificate();
  s.lockable = !settings_.watchdog_token.empty();
  if (dead_man_) s.dead_man = dead_man_->status();
  for (const auto& d : deliveries_)
    s.channels.push_back(d->status());
  return s;
}

/// Histories are worth no failed start: a file that can't be read is set aside.
void Watchdog::restore_history() {
  const std::string path = directory_ + "/history.json";
  if (!std::filesystem::exists(path)) return;
  const auto restored = read_whole(path, kMaxHistoryFile).and_then([this](const std::string& s) {
    return history_.restore(s, now());
  });
  if (restored) return;
  std::error_code error;
  std::filesystem::rename(path, path + ".damaged", error);
  kLog.error("the page's histories begin anew: {}; set aside as {}.damaged", restored.error().detail, path);
}

/// The text is made from a copy where it is written: with many processes it takes a while.
void Watchdog::keep_history() {
  if (std::exchange(keeping_history_, true)) return;  // the disk is slow: one copy that waits is enough
  disk_->run(
      [path = directory_ + "/history.json", copy = history_] { return write_durably(path, copy.dump()); },
      [this](const Result<void>& r) {
        keeping_history_ = false;
        if (!r) kLog.warn("the page's histories aren't kept: {}", r.error().detail);
      });
}

void Watchdog::answer(const control::Request& request, control::ControlServer::Reply reply) {
  const auto has = [&](const char* word) {
    return std::find(request.words.begin(), request.words.end(), word) != request.words.end();
  };
  const Snapshot s = snapshot();
  if (request.verb == "status")
    return reply({healthy(s) ? 0 : 1, has("json") ? to_json(s) + "\n" : to_table(s, has("colour"))});
  if (request.verb == "incidents") return reply({0, incidents_table(s)});
  for (const char* verb : {"ack", "silence", "unsilence", "restart"})
    if (request.verb == verb) return reply_when_kept(on_duty(request), std::move(reply));
  if (request.verb == "drill") return drill(request, std::move(reply));
  if (request.verb == "alert-test") return alert_test(std::move(reply));
  reply({1, "the watchdog doesn't know '" + request.verb + "'\n"});
}

/// What people on duty ask for at the command line; the page and the ops chat ask the same desk.
control::Answer Watchdog::on_duty(const control::Request& request) {
  const auto& words = request.words;
  const std::string by = "the command line";
  const auto outcome = [&]() -> Result<std::string> {
    if (request.verb == "ack")
      return words.empty() ? desk_->acknowledge_all(by) : desk_->acknowledge(words[0], by);
    if (words.empty()) return fail(Code::Rejected, request.verb + " what?");
    if (request.verb == "restart") return desk_->restart(words[0], by);
    if (request.verb == "unsilence") return desk_->unsilence(words[0], by);
    const auto length = parse_span(words.size() > 1 ? words[1] : "1h");
    return length ? desk_->silence(words[0], *length, by) : fail(length.error());
  }();
  return outcome ? control::Answer{0, *outcome + "\n"} : control::Answer{1, outcome.error().detail + "\n"};
}

/// What was done is said once it would survive us: behind the book's writing, which waits in the same lines.
/// If the disk takes long, that is said instead.
void Watchdog::reply_when_kept(control::Answer answer, control::ControlServer::Reply reply) {
  struct Asker {
    control::Answer answer;
    control::ControlServer::Reply reply;
    loop::Timer limit{};
    void say(const std::string& but) {
      if (auto then = std::exchange(reply, {})) then({answer.status, answer.text + but});
      limit.reset();
    }
  };
  auto asker = std::make_shared<Asker>(Asker{std::move(answer), std::move(reply)});
  asker->limit = service_.loop().after(kKeptWithin, [asker] {
    const auto held = asker;
    held->say("It isn't on disk yet, and would end with the watchdog.\n");
  });
  service_.loop().post([this, asker] {
    disk_->run([] { return Result<void>{}; },
               [this, asker](const Result<void>&) {
                 asker->say(not_kept_
                                ? "It isn't on disk, and ends with the watchdog: " + not_kept_->detail + "\n"
                                : std::string());
               });
  });
}

/// `announce NAME`: says in every channel what is going to happen; `kill NAME`: has the parent do it.
void Watchdog::drill(const control::Request& request, control::ControlServer::Reply reply) {
  const auto& words = request.words;
  const Member* m = words.size() == 2 ? roster_->find(words[1]) : nullptr;
  if (!m || !m->beat) return reply({1, "the watchdog hears no such process\n"});
  if (words[0] == "announce") {
    send_test("a drill: " + m->instance +
                  " will be killed in a moment, and an alert of it and its end should follow",
              "an answer that is being written comes some seconds later; none is lost", std::move(reply));
  } else if (m->component != "claude" && m->component != "openai") {
    reply({1, "a drill kills workers alone\n"});
  } else if (supervisor_) {
    kLog.warn("a drill kills {}", m->instance);
    parent_->send(Order{Order::Kind::Signal, m->instance, SIGKILL});
    reply({0, "killed\n"});
  } else {
    reply({1, "the watchdog kills nothing here; type on " + m->beat->host + ": kill -9 " +
                  std::to_string(m->pid) + "\n"});
  }
}

void Watchdog::alert_test(control::ControlServer::Reply reply) {
  send_test("alert from katana alert-test", "none, this is a test", std::move(reply));
}

/// One notice through each channel; the answer waits for the first try of all.
void Watchdog::send_test(const std::string& title, const std::string& effect,
                         control::ControlServer::Reply reply) {
  if (deliveries_.empty()) return reply({1, "nobody will be told: no alert channel is set\n"});
  struct Round {
    std::size_t open;
    control::Answer answer{0, ""};
    control::ControlServer::Reply reply;
  };
  auto round = std::make_shared<Round>(Round{deliveries_.size(), {}, std::move(reply)});
  Notice notice;
  notice.incident = fresh_id(10);
  notice.kind = NoticeKind::Test;
  notice.at = notice.since = now().wall;
  notice.host = host_;
  notice.where = "watchdog";
  notice.title = title;
  notice.effect = effect;
  for (auto& d : deliveries_) {
    notice.id = fresh_id(10);
    d->accept(notice, [round, name = d->name()](const Result<Receipt>& result) {
      round->answer.text +=
          name + ": " + (result ? "sent: " + result->said : "failed: " + result.error().detail) + "\n";
      if (!result) round->answer.status = 1;
      if (--round->open == 0) round->reply(round->answer);
    });
  }
}

}  // namespace katana::watchdog
