#include "watchdog/duty/ops_chat.hpp"

#include <algorithm>
#include <sstream>

#include "common/core/id.hpp"
#include "common/core/text.hpp"
#include "common/log/log.hpp"

namespace katana::watchdog {
namespace {

constexpr log::Room kLog{"ops chat"};
constexpr std::size_t kLongest = 4096;  // UTF-16 units of a message
constexpr std::size_t kCalls = 8;       // answers under way; more of them end the oldest
constexpr Seconds kHour{3'600};

constexpr const char* kHelp =
    "/status: how it is\n"
    "/incidents: what is wrong, and what was\n"
    "/ack [INCIDENT]: you look after it (without one: after all)\n"
    "/silence WHAT [2h]: no alerts about a process (claude-1), a component (claude), an incident, or all\n"
    "/unsilence WHAT: alerts again\n"
    "/restart PROCESS: ends it in good order and starts it again";

const std::vector<std::pair<std::string, std::string>>& commands() {
  static const std::vector<std::pair<std::string, std::string>> all{
      {"status", "How it is"},       {"incidents", "What is wrong, and what was"},
      {"ack", "You look after it"},  {"silence", "No alerts for a while: /silence claude-1 2h"},
      {"unsilence", "Alerts again"}, {"restart", "Restart a process: /restart claude-1"},
      {"help", "What you can ask"}};
  return all;
}

}  // namespace

OpsChat::OpsChat(loop::Loop& loop, const Clock& clock, std::unique_ptr<telegram::BotApi> api,
                 std::int64_t chat, std::vector<std::int64_t> users, Desk& desk, Events events)
    : loop_(loop),
      clock_(clock),
      api_(std::move(api)),
      chat_(chat),
      users_(std::move(users)),
      desk_(desk),
      events_(std::move(events)),
      calls_(kCalls) {}

void OpsChat::start() {
  if (users_.empty())
    kLog.warn(
        "nobody may use the alert bot's buttons and commands: set KATANA_OPS_USERS to the Telegram user ids "
        "of "
        "those on duty");
  introduce();
}

void OpsChat::replace(std::unique_ptr<telegram::BotApi> api, std::int64_t chat,
                      std::vector<std::int64_t> users) {
  poll_call_.cancel();
  for (auto& call : calls_)
    call.cancel();
  retry_.reset();
  api_ = std::move(api);
  chat_ = chat;
  users_ = std::move(users);
  username_.clear();
  introduce();
}

/// Our own name first: in a group, `/status@OtherBot` is not for us.
void OpsChat::introduce() {
  if (!username_.empty()) return poll();
  poll_call_ = api_->get_me([this](telegram::ApiResult<telegram::BotUser> me) {
    if (!me) return failed(me.error());
    username_ = me->username;
    if (std::exchange(bot_, me->id) != me->id) {
      offset_ = 0;
      caught_up_ = false;
    }
    if (!users_.empty()) slot() = api_->set_commands(commands(), [](const telegram::ApiResult<bool>&) {});
    poll();
  });
}

void OpsChat::poll() {
  poll_call_ =
      api_->get_updates(offset_, 100, caught_up_ ? kPoll : Seconds{0},
                        [this](telegram::ApiResult<telegram::RawUpdates> r) { polled(std::move(r)); });
}

void OpsChat::polled(telegram::ApiResult<telegram::RawUpdates> result) {
  if (!result) return failed(result.error());
  auto updates = parse_ops_updates(result->json);
  if (!updates) return failed({updates.error()});
  backoff_.reset();
  failing_since_.reset();
  conflicts_ = 0;
  if (std::exchange(told_, false)) events_.on_working();
  for (const auto& update : *updates) {
    offset_ = std::max(offset_, update.update_id + 1);
    if (update.user != 0) handle(update);
  }
  if (updates->empty()) caught_up_ = true;
  poll();
}

void OpsChat::failed(const telegram::ApiError& error) {
  const Mono now = clock_.mono();
  if (!failing_since_) failing_since_ = now;
  if (error.refusal == telegram::Refusal::Conflict) ++conflicts_;
  const bool tell = error.error.code == Code::Auth || conflicts_ >= 2 || now - *failing_since_ >= kTrouble;
  Error why = error.error;
  if (error.refusal == telegram::Refusal::Conflict)
    why.detail =
        "somebody else asks for the alert bot's messages too; it must be the watchdog's alone: " + why.detail;
  kLog.warn("the alert bot can't be asked: {}", why.detail);
  if (tell && !std::exchange(told_, true)) events_.on_failing(why);
  Millis wait = backoff_.next(random_u64());
  if (error.error.retry_after) wait = std::max(*error.error.retry_after, wait);
  retry_ = loop_.after(wait, [this] {
    retry_.reset();
    introduce();
  });
}

// ---- what people ask ----

bool OpsChat::admits(const OpsUpdate& u) const {
  const bool here = u.chat == chat_ || u.chat == u.user;
  return here && std::find(users_.begin(), users_.end(), u.user) != users_.end();
}

void OpsChat::handle(const OpsUpdate& u) {
  const bool asks = !u.callback.empty() || u.words.starts_with('/') || u.chat == u.user;
  if (!admits(u)) {
    // In a group people talk among themselves.
    const Mono now = clock_.mono();
    if (!asks || (stranger_logged_ && now - *stranger_logged_ < kStrangersApart)) return;
    stranger_logged_ = now;
    const bool listed = std::find(users_.begin(), users_.end(), u.user) != users_.end();
    kLog.warn("Telegram user {} in chat {} asked for something; nothing was done: {}", u.user, u.chat,
              listed ? "that is neither the ops chat nor a chat with them alone"
                     : "they aren't listed in KATANA_OPS_USERS");
    return;
  }
  u.callback.empty() ? command(u) : press(u);
}

void OpsChat::press(const OpsUpdate& u) {
  const auto colon = u.words.find(':');
  const std::string verb = u.words.substr(0, colon);
  const std::string about = colon == std::string::npos ? "" : u.words.substr(colon + 1);
  const std::string by = "Telegram user " + std::to_string(u.user);
  std::string answer;
  if (!caught_up_) {
    answer = "That was while nobody listened; press again.";
  } else if (verb == "status") {
    say(u, events_.status());
  } else if (verb == "ack" || verb == "silence" || verb == "restart") {
    std::vector<std::string> words{verb, about};
    if (verb == "silence") words.emplace_back("1h");
    const bool forgotten = verb == "silence" && !desk_.book().find(about) && !desk_.book().find_past(about);
    answer = forgotten ? "Not done: that incident was over long ago." : obey(words, by);
  } else {
    answer = "This button is of another version.";
  }
  slot() = api_->answer_callback(u.callback, answer, [](const telegram::ApiResult<bool>&) {});
  // The line above a chat's text goes in seconds; what was done must stay to be seen by all.
  if (!answer.empty() && caught_up_) say(u, answer);
}

std::optional<std::vector<std::string>> OpsChat::words_of(const OpsUpdate& u) const {
  std::istringstream in(u.words);
  std::vector<std::string> words;
  for (std::string word; in >> word && words.size() < 8;)
    words.push_back(word);
  if (words.empty() || !words.front().starts_with('/')) return std::nullopt;
  std::string& verb = words.front();
  if (const auto at = verb.find('@'); at != std::string::npos) {
    if (verb.substr(at + 1) != username_) return std::nullopt;
    verb.resize(at);
  }
  verb.erase(0, 1);
  return words;
}

void OpsChat::command(const OpsUpdate& u) {
  const auto words = words_of(u);
  if (!words && u.chat != u.user) return;  // people talk
  if (clock_.wall() - u.at > kStale) {
    kLog.info("a command of Telegram user {} waited too long, and isn't carried out", u.user);
    return;
  }
  say(u, words ? obey(*words, "Telegram user " + std::to_string(u.user)) : kHelp);
}

std::string OpsChat::obey(const std::vector<std::string>& words, const std::string& by) {
  const auto spoken = [](const Result<std::string>& outcome) {
    return outcome ? *outcome : "Not done: " + outcome.error().detail;
  };
  const std::string& verb = words.front();
  const std::string about = words.size() > 1 ? words[1] : "";
  if (verb == "status") return events_.status();
  if (verb == "incidents") return events_.incidents();
  if (verb == "ack") return spoken(about.empty() ? desk_.acknowledge_all(by) : desk_.acknowledge(about, by));
  if (verb == "unsilence" && !about.empty()) return spoken(desk_.unsilence(about, by));
  if (verb == "restart" && !about.empty()) return spoken(desk_.restart(about, by));
  if (verb == "silence" && !about.empty()) {
    const auto length = words.size() > 2 ? parse_span(words[2]) : Result<Seconds>(kHour);
    return length ? spoken(desk_.silence(about, *length, by)) : "Not done: " + length.error().detail;
  }
  return kHelp;
}

void OpsChat::say(const OpsUpdate& to, const std::string& words) {
  telegram::OutText out;
  out.chat_id = to.chat;
  out.reply_to = to.message;
  out.text = text::shorten(words, kLongest);
  slot() = api_->send_message(out, [](const telegram::ApiResult<std::int64_t>& sent) {
    if (!sent) kLog.warn("an answer wasn't sent: {}", sent.error().error.detail);
  });
}

net::HttpCall& OpsChat::slot() {
  next_call_ = (next_call_ + 1) % calls_.size();
  return calls_[next_call_];
}

}  // namespace katana::watchdog
