// Judge, about the watchdog itself: its life and its parent's, its channels, the ops chat, the dead-man
// switch.
#include "watchdog/incident/judge.hpp"
#include "watchdog/incident/words.hpp"

namespace katana::watchdog {
namespace {

std::string channel_key(const std::string& channel) {
  return "channel:" + channel;
}

}  // namespace

void Judge::replaced(const std::string& how, Millis ago, Now now) {
  now = {now.mono - ago, now.wall - ago};
  book_.open({process_key("watchdog"), Severity::Warning, "watchdog", "watchdog", "watchdog was down: " + how,
              effect_of("watchdog")},
             now);
}

void Judge::parent_died(Now now) {
  book_.open({process_key("up"), Severity::Critical, "up", "up",
              "katana up was killed: everything stops, and nobody starts it again",
              "no message is answered until katana up runs again; Telegram keeps them for 24 hours"},
             now);
}

void Judge::serving(Now now) {
  book_.resolve(process_key("up"), now);
  book_.resolve(process_key("watchdog"), now);
}

void Judge::channel_failed(const std::string& channel, const Error& error, Now now) {
  Report report;
  report.key = channel_key(channel);
  report.component = "channel";
  report.where = report.except = channel;
  report.title = "alerts by " + channel + " fail: " + std::string(katana::to_string(error.code)) + ": " +
                 line_of(error.detail);
  report.effect = "none; alerts of that channel wait and are sent when it works again";
  // A token that is refused, or a network that is gone, is one trouble; a chat that threw the bot out
  // another.
  if (channel == "telegram" && ops_chat_error_ == error.code) report.cause = kOpsChat;
  book_.open(std::move(report), now);
}

void Judge::ops_chat_failed(const Error& error, Now now) {
  Report report;
  ops_chat_error_ = error.code;
  report.key = kOpsChat;
  report.component = "channel";
  report.where = "ops chat";
  report.except = "telegram";
  report.title = "the alert bot can't be asked (telegram): " + std::string(katana::to_string(error.code)) +
                 ": " + line_of(error.detail);
  report.effect = "none; its buttons and commands do nothing, and its alerts may wait";
  book_.open(std::move(report), now);
}

void Judge::dead_man_failed(const Error& error, Now now) {
  Report report;
  report.key = kDeadMan;
  report.component = "watchdog";
  report.where = "dead-man switch";
  report.title = "the dead-man URL isn't asked: " + line_of(error.detail);
  report.effect = "none; whoever owns that URL will say that Katana is gone";
  book_.open(std::move(report), now);
}

void Judge::dead_man_works(Now now) {
  book_.resolve(kDeadMan, now);
}

void Judge::ops_chat_works(Now now) {
  ops_chat_error_.reset();
  book_.resolve(kOpsChat, now);
}

void Judge::channel_works(const std::string& channel, Now now) {
  book_.resolve(channel_key(channel), now);
}

}  // namespace katana::watchdog
