#include "watchdog/channels/delivery.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "common/core/id.hpp"
#include "common/log/log.hpp"

namespace katana::watchdog {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFile = 1 << 20;  // a storm with all its members
constexpr std::size_t kThreads = 200;

constexpr log::Room kLog{"channels"};

}  // namespace

Delivery::Delivery(loop::Loop& loop, const Clock& clock, Disk& disk, std::unique_ptr<Channel> channel,
                   std::string directory, Events events)
    : loop_(loop),
      clock_(clock),
      disk_(disk),
      channel_(std::move(channel)),
      directory_(std::move(directory)),
      events_(std::move(events)) {}

std::string Delivery::path_of(const Item& item) const {
  std::string number = std::to_string(item.number);
  return directory_ + "/" + std::string(12 - std::min<std::size_t>(12, number.size()), '0') + number +
         ".json";
}

Result<void> Delivery::load() {
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) return fail(Code::Internal, "making " + directory_ + ": " + error.message());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory_, error))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  if (error) return fail(Code::Internal, "reading " + directory_ + ": " + error.message());
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    const std::string stem = path.stem().string();
    Item item;
    const auto [end, bad] = std::from_chars(stem.data(), stem.data() + stem.size(), item.number);
    auto notice =
        read_whole(path.string(), kMaxFile).and_then([](const std::string& s) { return parse_notice(s); });
    if (bad != std::errc{} || end != stem.data() + stem.size() || !notice) {
      kLog.error("{}: {} set aside: {}", name(), path.string(),
                 notice ? "not a number" : notice.error().detail);
      fs::rename(path, path.string() + ".bad", error);
      continue;
    }
    item.notice = std::move(*notice);
    // The clock of the wall may have been set since; what seems to come from the future is new.
    const auto age = std::max(clock_.wall() - item.notice.at, Wall::duration::zero());
    item.since = clock_.mono() - std::chrono::duration_cast<Mono::duration>(age);
    item.stored = true;
    next_number_ = std::max(next_number_, item.number + 1);
    waiting_.push_back(std::move(item));
  }
  read_threads();
  if (!waiting_.empty()) kLog.info("{}: {} notices wait from an earlier run", name(), waiting_.size());
  return {};
}

void Delivery::read_threads() {
  const auto text = read_whole(threads_path(), kMaxFile);
  if (!text) return;  // none was kept yet; without it a notice begins a thread of its own
  std::size_t from = 0;
  for (std::size_t end; (end = text->find('\n', from)) != std::string::npos; from = end + 1) {
    const std::string line = text->substr(from, end - from);
    const auto blank = line.find(' ');
    if (blank != std::string::npos) threads_.emplace_back(line.substr(0, blank), line.substr(blank + 1));
  }
}

std::string Delivery::thread_of(const std::string& incident) const {
  for (const auto& [id, thread] : threads_)
    if (id == incident) return thread;
  return {};
}

void Delivery::keep_thread(const std::string& incident, const std::string& thread) {
  if (thread.empty() || !thread_of(incident).empty()) return;
  threads_.emplace_back(incident, thread);
  if (threads_.size() > kThreads) threads_.pop_front();
  std::string all;
  for (const auto& [id, t] : threads_)
    all.append(id).append(" ").append(t).append("\n");
  disk_.run([path = threads_path(), all] { return write_durably(path, all); },
            [this](const Result<void>& r) {
              if (!r) kLog.error("{}: {}", name(), r.error().detail);
            });
}

void Delivery::accept(const Notice& notice, std::function<void(Result<Receipt>)> then) {
  if (!channel_->wants(notice.kind)) return;
  if (waiting_.size() >= kMost) {
    ++dropped_;
    kLog.error("{}: {} notices wait already; '{}' is dropped", name(), kMost, subject(notice));
    if (then) then(fail(Code::Overloaded, "too many notices wait"));
    return;
  }
  Item fresh{next_number_++, notice, clock_.mono(), false, std::move(then)};
  const std::uint64_t number = fresh.number;
  const std::string path = path_of(fresh);
  queue(std::move(fresh));
  disk_.run([path, json = to_spool(notice)] { return write_durably(path, json); },
            [this, number](const Result<void>& written) {
              // A full disk must not keep anybody from being told: it is sent from memory then.
              if (!written) kLog.error("{}: {}; sending without the spool", name(), written.error().detail);
              stored(number);
            });
  limit_storing();
}

void Delivery::stored(std::uint64_t number) {
  for (auto& item : waiting_)
    if (item.number <= number) item.stored = true;
  limit_storing();
  pump();
}

/// Those that aren't stored were accepted in the order of their numbers: the first one's time runs out first.
void Delivery::limit_storing() {
  const Item* first = nullptr;
  for (const auto& item : waiting_)
    if (!item.stored && (first == nullptr || item.number < first->number)) first = &item;
  unstored_.reset();
  if (first == nullptr) return;
  const auto wait = std::chrono::ceil<Millis>(first->since + kStoredWithin - clock_.mono());
  unstored_ = loop_.after(std::max(wait, Millis{0}), [this, number = first->number] {
    kLog.error("{}: the disk takes more than {}; sending without the spool", name(), human(kStoredWithin));
    stored(number);
  });
}

void Delivery::queue(Item item) {
  if (item.set_back()) return waiting_.push_back(std::move(item));
  const bool its_own = !waiting_.empty() && waiting_.front().set_back() && refused_;
  if (!sending_ && its_own) retry_.reset();  // not the channel's
  const auto from = waiting_.begin() + (sending_ ? 1 : 0);
  if (item.notice.kind == NoticeKind::Test) {
    if (!limited_) retry_.reset();
    waiting_.insert(from, std::move(item));
    return;
  }
  waiting_.insert(std::find_if(from, waiting_.end(), [](const Item& i) { return i.set_back(); }),
                  std::move(item));
}

void Delivery::replace(std::unique_ptr<Channel> channel) {
  next_ = std::move(channel);
  if (!limited_) retry_.reset();  // fresh secrets end no flood wait
  if (!sending_) adopt();
  if (told_ || failed_looks_ > 0) look();
  pump();
}

void Delivery::adopt() {
  if (!next_) return;
  channel_ = std::move(next_);
  if (!probes_.empty()) ask_channel();  // its answer went with the former one
}

void Delivery::start() {
  started_ = true;
  look_ = loop_.every(kLook, [this] { look(); });
  if (told_) look();  // what an earlier process told may be over
  pump();
}

// ---- whether it works ----

void Delivery::probe(std::function<void(Result<void>)> then) {
  probes_.push_back(std::move(then));
  if (probes_.size() == 1) ask_channel();
}

void Delivery::ask_channel() {
  channel_->probe([this](const Result<void>& outcome) {
    for (const auto& then : std::exchange(probes_, {}))
      then(outcome);
  });
}

void Delivery::check(const Notice& notice, std::function<void(Result<void>)> then) {
  disk_.run(
      [path = directory_ + "/check", json = to_spool(notice), id = notice.id]() -> Result<void> {
        if (auto written = write_durably(path, json); !written) return written;
        const auto back =
            read_whole(path, kMaxFile).and_then([](const std::string& s) { return parse_notice(s); });
        if (!back) return fail(back.error());
        if (back->id != id) return fail(Code::Internal, path + " holds another notice than was written");
        return remove_durably(path);
      },
      [this, then = std::move(then)](const Result<void>& kept) mutable {
        if (!kept) return then(fail(with_context(kept.error(), "storing a notice")));
        if (sending_ && clock_.mono() - sending_since_ > kStuck)
          return then(fail(Code::Timeout, "a notice has been under way for more than " + human(kStuck)));
        probe(std::move(then));
      });
}

/// So that a password that has run out is told of before anybody needs it.
void Delivery::look() {
  if (!waiting_.empty()) return;  // what waits will show
  probe([this](const Result<void>& outcome) {
    if (!waiting_.empty()) return;
    if (outcome) {
      failed_looks_ = 0;
      last_error_.clear();
      look_ = loop_.every(kLook, [this] { look(); });
      if (!failed_sending_ || channel_->probe_proves()) tell_working();
      return;
    }
    const Error& error = outcome.error();
    last_error_ = std::string(katana::to_string(error.code)) + ": " + error.detail;
    kLog.warn("{} would take no notice now: {}", name(), last_error_);
    if (++failed_looks_ >= kFailures || error.code == Code::Auth) tell_failing(error);
    look_ = loop_.every(kLookAgain, [this] { look(); });
  });
}

void Delivery::tell_failing(const Error& error) {
  if (!std::exchange(told_, true)) events_.on_failing(error);
}

void Delivery::tell_working() {
  if (std::exchange(told_, false)) events_.on_working();
}

// ---- sending ----

void Delivery::pump() {
  while (!waiting_.empty() && !sending_ && clock_.mono() - waiting_.front().since > kTooOld) {
    kLog.error("{}: '{}' is given up after a day", name(), subject(waiting_.front().notice));
    ++dropped_;
    finish_front();
  }
  if (!started_ || sending_ || retry_ || waiting_.empty() || !waiting_.front().stored) return;
  adopt();
  if (const Millis wait = take_turn(); wait.count() > 0) return go_on(wait);
  sending_ = true;
  sending_since_ = clock_.mono();
  const Notice& notice = waiting_.front().notice;
  channel_->send(notice, thread_of(notice.incident),
                 [this](Result<Receipt> result) { done(std::move(result)); });
}

/// A bucket of turns that fills again with time.
Millis Delivery::take_turn() {
  const Channel::Pace pace = channel_->pace();
  const Mono now = clock_.mono();
  const double filled = counted_ == Mono{} ? pace.burst
                                           : std::chrono::duration<double>(now - counted_) /
                                                 std::chrono::duration<double>(pace.every);
  turns_ = std::min<double>(pace.burst, turns_ + filled);
  counted_ = now;
  if (turns_ < 1) {
    const auto wait = std::chrono::duration<double>(pace.every) * (1 - turns_);
    return std::chrono::ceil<Millis>(wait);
  }
  turns_ -= 1;
  return Millis{0};
}

void Delivery::done(Result<Receipt> result) {
  sending_ = false;
  Item& front = waiting_.front();
  if (auto then = std::exchange(front.then, {})) then(result);
  if (!result) return failed(result.error());
  ++sent_;
  last_sent_ = clock_.wall();
  kLog.info("{} took '{}': {}", name(), subject(front.notice), result->said);
  keep_thread(front.notice.incident, result->thread);
  finish_front();
  failures_ = 0;
  refused_ = limited_ = failed_sending_ = false;
  backoff_.reset();
  last_error_.clear();
  tell_working();
  go_on(Millis{0});
}

void Delivery::go_on(Millis wait) {
  if (next_ && !limited_)
    wait = Millis{0};
  else if (wait.count() == 0)
    return pump();
  retry_ = loop_.after(wait, [this] {
    retry_.reset();
    pump();
  });
}

void Delivery::failed(const Error& error) {
  ++failures_;
  failed_sending_ = true;
  refused_ = error.code == Code::Rejected;
  limited_ = error.code == Code::RateLimited;
  last_error_ = std::string(katana::to_string(error.code)) + ": " + error.detail;
  Millis wait = backoff_.next(random_u64());
  if (error.retry_after) wait = std::max(*error.retry_after, Millis{100});
  Item& front = waiting_.front();
  const bool known = front.set_back();  // it was told, and it says nothing of the channel
  if (error.code == Code::Rejected) ++front.refusals;
  kLog.warn("{} did not take '{}': {}; next try in {}", name(), subject(front.notice), last_error_,
            front.set_back() ? "turn, behind the others" : human(wait));
  if (front.set_back()) {
    Item refused = std::move(front);
    waiting_.pop_front();
    queue(std::move(refused));
  }
  const bool for_the_operator = error.code == Code::Auth || error.code == Code::Rejected;
  if (!known && error.code != Code::RateLimited && (for_the_operator || failures_ >= kFailures))
    tell_failing(error);
  if (error.code == Code::Rejected && !waiting_.front().set_back() && waiting_.front().refusals == 0) {
    wait = Millis{0};  // for another one, which nobody refused
  }
  go_on(wait);
}

void Delivery::finish_front() {
  disk_.run([path = path_of(waiting_.front())] { return remove_durably(path); },
            [this](const Result<void>& r) {
              if (!r) kLog.error("{}: {}; that notice may come twice", name(), r.error().detail);
            });
  waiting_.pop_front();
}

std::vector<Notice> Delivery::waiting() const {
  std::vector<Notice> out;
  for (const auto& item : waiting_)
    out.push_back(item.notice);
  return out;
}

Delivery::Status Delivery::status() const {
  return {name(), waiting_.size(), told_, last_error_, sent_, dropped_, last_sent_};
}

}  // namespace katana::watchdog
