#include "load.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace sandbox {
namespace {

std::string check(const LoadShape& shape) {
  if (shape.chats < 1 || shape.chats > 1'000'000) return "chats must lie in 1…1000000";
  if (shape.messages < 1 || shape.messages > 100'000'000) return "messages must lie in 1…100000000";
  if (shape.tokens < 1 || shape.tokens > 100'000) return "tokens must lie in 1…100000";
  if (shape.token_ms < 0 || shape.first_ms < 0 || shape.patience_s <= 0) return "times must not be negative";
  return {};
}

std::string milliseconds(double us) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", us / 1000);
  return text;
}

std::string spread(std::vector<std::uint32_t> us) {
  if (us.empty()) return "null";
  std::sort(us.begin(), us.end());
  const auto at = [&us](double part) {
    return milliseconds(us[static_cast<std::size_t>(static_cast<double>(us.size() - 1) * part)]);
  };
  return "{\"p50\":" + at(0.5) + ",\"p90\":" + at(0.9) + ",\"p99\":" + at(0.99) +
         ",\"max\":" + milliseconds(us.back()) + "}";
}

std::uint32_t micros(Nanos from, Nanos to) {
  return static_cast<std::uint32_t>(std::clamp<Nanos>((to - from) / 1000, 0, 0xFFFFFFFFLL));
}

constexpr Nanos kPatrol = kSecond / 2;

}  // namespace

std::string read_load(std::string_view text, LoadShape& shape) {
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) return "'" + std::string(word) + "' is not of the form name=number";
    const std::string_view name = word.substr(0, equals);
    const std::string value(word.substr(equals + 1));
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != 0) return "'" + value + "' is no number";
    if (name == "chats") {
      shape.chats = static_cast<std::int64_t>(number);
    } else if (name == "messages") {
      shape.messages = static_cast<std::int64_t>(number);
    } else if (name == "tokens") {
      shape.tokens = static_cast<std::int64_t>(number);
    } else if (name == "token_ms") {
      shape.token_ms = number;
    } else if (name == "first_ms") {
      shape.first_ms = number;
    } else if (name == "patience_s") {
      shape.patience_s = number;
    } else if (name == "first_chat") {
      shape.first_chat = static_cast<std::int64_t>(number);
    } else {
      return "'" + std::string(name) +
             "' is unknown; known are chats, messages, tokens, token_ms, first_ms, patience_s, first_chat";
    }
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return check(shape);
}

std::string read_load(Json spec, LoadShape& shape) {
  shape.chats = number_of(spec, "chats", shape.chats);
  shape.messages = number_of(spec, "messages", shape.messages);
  shape.tokens = number_of(spec, "tokens", shape.tokens);
  shape.token_ms = real_of(spec, "token_ms", shape.token_ms);
  shape.first_ms = real_of(spec, "first_ms", shape.first_ms);
  shape.patience_s = real_of(spec, "patience_s", shape.patience_s);
  shape.first_chat = number_of(spec, "first_chat", shape.first_chat);
  return check(shape);
}

/// One chat of the run and its message under way.
struct Load::Runner {
  std::int64_t chat = 0;
  std::int64_t number = 0;  ///< of the message under way; 0: none
  std::string mark;
  std::string last_mark;          ///< of the message before
  std::int64_t last_message = 0;  ///< where its answer stood; 0: it was lost
  bool late_seen = false;
  Nanos sent = 0;
  Nanos handed = 0;
  Nanos asked = 0;
  Nanos answered = 0;
};

Load::Load(Loop& loop, Telegram& telegram, Providers& providers)
    : loop_(loop),
      telegram_(telegram),
      providers_(providers),
      patrol_(loop, [this] { look_for_lost(); }),
      starter_(loop, [this] { start_more(); }) {}

Load::~Load() = default;

std::string Load::start(LoadShape shape, std::function<void(const std::string&)> done) {
  if (running_) return "a load run is under way";
  if (telegram_.bots().empty()) return "there is no bot";
  shape_ = shape;
  shape_.chats = std::min(shape.chats, shape.messages);
  done_ = std::move(done);
  bot_ = telegram_.bots().front().get();
  sent_ = settled_ = lost_ = late_ = doubled_ = asked_again_ = unmeasured_ = 0;
  for (auto* list : {&added_us_, &before_us_, &after_us_}) {
    list->clear();
    list->reserve(static_cast<std::size_t>(shape_.messages));
  }
  usual_messages_ = telegram_.keep_messages;
  usual_edits_ = telegram_.keep_edits;
  telegram_.keep_messages = 16;  // memory has to stay flat over a million messages
  telegram_.keep_edits = 2;
  telegram_.measure(this);
  providers_.measure(this);
  errors_before_ = errors ? errors() : 0;
  running_ = true;
  began_ = now_ns();
  runners_.assign(static_cast<std::size_t>(shape_.chats), Runner());
  for (std::size_t i = 0; i < runners_.size(); ++i) {
    runners_[i].chat = shape_.first_chat + static_cast<std::int64_t>(i);
    telegram_.user(runners_[i].chat, "Load " + std::to_string(i));
    telegram_.open_chat(*bot_, runners_[i].chat, Chat::Kind::Private);
  }
  started_ = 0;
  all_began_ = all_sent_ = 0;
  start_more();
  patrol_.in(kPatrol);
  return {};
}

/// People don't all begin in the same instant: the chats start spread over the length of one answer.
void Load::start_more() {
  const double length_ms = shape_.first_ms + shape_.token_ms * static_cast<double>(shape_.tokens);
  const double step = length_ms * kMilli / static_cast<double>(shape_.chats);
  while (started_ < runners_.size()) {
    const Nanos due = began_ + static_cast<Nanos>(step * static_cast<double>(started_));
    if (due > now_ns()) return starter_.at(due);
    send(runners_[started_++]);
  }
  all_began_ = now_ns();
  settled_at_begin_ = settled_;
}

void Load::send(Runner& runner) {
  runner.last_mark.swap(runner.mark);
  runner.late_seen = false;
  runner.mark.clear();
  runner.handed = runner.asked = runner.answered = 0;
  runner.number = 0;
  if (sent_ >= shape_.messages) return;
  ++sent_;
  if (sent_ == shape_.messages) {
    all_sent_ = now_ns();
    settled_at_sent_ = settled_;
  }
  runner.number = next_number_++;
  runner.mark =
      "K" + std::to_string(runner.chat - shape_.first_chat) + "x" + std::to_string(runner.number) + "K";
  runner.sent = now_ns();
  char shape[96];
  std::snprintf(shape, sizeof shape,
                " [[tokens=%lld token_ms=%g first_ms=%g end=", static_cast<long long>(shape_.tokens),
                shape_.token_ms, shape_.first_ms);
  Formatted text;
  text.text = "load " + std::to_string(runner.number) + shape + runner.mark + "]]";
  Chat* chat = telegram_.find_chat(*bot_, runner.chat);
  if (chat != nullptr) telegram_.say(*bot_, *chat, telegram_.user(runner.chat), std::move(text), {}, 0, 0);
}

Load::Runner* Load::of_mark(std::string_view mark, std::int64_t& number) {
  if (mark.size() < 4 || mark.front() != 'K') return nullptr;
  std::int64_t index = -1;
  const char* end = mark.data() + mark.size();
  auto parsed = std::from_chars(mark.data() + 1, end, index);
  if (parsed.ec != std::errc() || index < 0 || index >= static_cast<std::int64_t>(runners_.size()))
    return nullptr;
  if (parsed.ptr == end || std::from_chars(parsed.ptr + 1, end, number).ec != std::errc()) return nullptr;
  return &runners_[static_cast<std::size_t>(index)];
}

void Load::on_handed_out(std::int64_t chat) {
  const std::int64_t index = chat - shape_.first_chat;
  if (index < 0 || index >= static_cast<std::int64_t>(runners_.size())) return;
  Runner& runner = runners_[static_cast<std::size_t>(index)];
  if (runner.handed == 0) runner.handed = now_ns();
}

void Load::on_asked(std::string_view end_mark, Nanos when) {
  std::int64_t number = 0;
  Runner* runner = of_mark(end_mark, number);
  if (runner == nullptr) return;
  if (runner->number != number || runner->asked != 0) {
    ++asked_again_;
    return;
  }
  runner->asked = when;
}

void Load::on_last_byte(std::string_view end_mark, Nanos when) {
  std::int64_t number = 0;
  Runner* runner = of_mark(end_mark, number);
  if (runner != nullptr && runner->number == number) runner->answered = when;
}

void Load::on_text(std::int64_t chat, std::int64_t message, std::string_view text) {
  const std::int64_t index = chat - shape_.first_chat;
  if (index < 0 || index >= static_cast<std::int64_t>(runners_.size())) return;
  Runner& runner = runners_[static_cast<std::size_t>(index)];
  if (runner.number != 0 && text.find(runner.mark) != std::string_view::npos)
    return settle(runner, message, now_ns());
  if (runner.last_mark.empty() || text.find(runner.last_mark) == std::string_view::npos) return;
  if (runner.last_message == 0) {
    late_ += runner.late_seen ? 0 : 1;
    runner.late_seen = true;
  } else if (runner.last_message != message) {
    ++doubled_;
  }
}

void Load::settle(Runner& runner, std::int64_t message, Nanos now) {
  ++settled_;
  if (runner.handed != 0 && runner.asked != 0 && runner.answered != 0) {
    const std::uint32_t before = micros(runner.handed, runner.asked);
    const std::uint32_t after = micros(runner.answered, now);
    before_us_.push_back(before);
    after_us_.push_back(after);
    added_us_.push_back(before + after);
  } else {
    ++unmeasured_;
  }
  runner.last_message = message;
  send(runner);
  if (settled_ + lost_ >= shape_.messages) end();
}

void Load::look_for_lost() {
  const Nanos now = now_ns();
  for (Runner& runner : runners_) {
    if (runner.number == 0 || now - runner.sent < static_cast<Nanos>(shape_.patience_s * kSecond)) continue;
    ++lost_;
    runner.last_message = 0;
    send(runner);
  }
  if (settled_ + lost_ >= shape_.messages) return end();
  patrol_.in(kPatrol);
}

void Load::end() {
  if (!running_) return;
  ended_ = now_ns();
  running_ = false;
  errors_after_ = errors ? errors() : 0;
  patrol_.cancel();
  starter_.cancel();
  telegram_.keep_messages = usual_messages_;
  telegram_.keep_edits = usual_edits_;
  if (!done_) return;
  const auto done = std::move(done_);
  done_ = nullptr;
  done(report());
}

void Load::stop() {
  if (running_) end();
  telegram_.measure(nullptr);
  providers_.measure(nullptr);
}

std::string Load::report() const {
  const double seconds = static_cast<double>((running_ ? now_ns() : ended_) - began_) / kSecond;
  // Counted while every chat was busy, from the last one's start to the last message; the whole run when it
  // was too short.
  double rate = seconds > 0 ? static_cast<double>(settled_) / seconds : 0;
  if (all_began_ != 0 && all_sent_ - all_began_ > kSecond / 2) {
    rate = static_cast<double>(settled_at_sent_ - settled_at_begin_) * kSecond /
           static_cast<double>(all_sent_ - all_began_);
  }
  const auto number = [](double value, const char* format) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return std::string(text);
  };
  const std::uint64_t errors_now = running_ && errors ? errors() : errors_after_;
  return "{\"running\":" + std::string(running_ ? "true" : "false") +
         ",\"chats\":" + std::to_string(shape_.chats) + ",\"messages\":" + std::to_string(settled_) +
         ",\"seconds\":" + number(seconds, "%.3f") + ",\"msg_per_s\":" + number(rate, "%.1f") +
         ",\"added_ms\":" + spread(added_us_) + ",\"before_ms\":" + spread(before_us_) +
         ",\"after_ms\":" + spread(after_us_) + ",\"lost\":" + std::to_string(lost_) +
         ",\"late\":" + std::to_string(late_) + ",\"doubled\":" + std::to_string(doubled_) +
         ",\"asked_again\":" + std::to_string(asked_again_) +
         ",\"unmeasured\":" + std::to_string(unmeasured_) +
         ",\"errors\":" + std::to_string(errors_now - errors_before_) + "}";
}

}  // namespace sandbox
