// The operator's verbs on the ledger: what became of a question, and the dead letters. No word of a user's
// text.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>
#include <utility>

#include "common/log/log.hpp"
#include "gateway/gateway.hpp"
#include "gateway/spend.hpp"

namespace katana::gateway {
namespace {

std::string time_of(Wall t) {
  const std::int64_t ms = to_unix_ms(t);
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  const std::string thousandths = std::to_string(1000 + ms % 1000).substr(1);
  return std::string(text, n) + "." + thousandths + " UTC";
}

std::string_view name_of(Trace::State state) {
  switch (state) {
    case Trace::State::Held:
      return "held: it came late, and its asker hasn't pressed the button";
    case Trace::State::Queued:
      return "queued";
    case Trace::State::Leased:
      return "leased";
    case Trace::State::Settled:
      return "settled; its answer is being shown";
    case Trace::State::Delivered:
      return "delivered";
    case Trace::State::Abandoned:
      return "settled; its answer can't be shown";
  }
  return "";
}

std::string line(std::string_view name, std::string_view text) {
  std::string out = "  " + std::string(name);
  out.resize(std::max<std::size_t>(out.size(), 13), ' ');
  return out.append(text).append("\n");
}

std::string used_text(const bus::Usage& usage, const config::Model* model) {
  std::string text = std::to_string(usage.input_tokens) + " tokens in (" +
                     std::to_string(usage.cache_read_tokens) + " from the cache), " +
                     std::to_string(usage.output_tokens) + " out";
  const auto cost = cost_of(model, usage);
  if (!cost) return text + "; no price is known for this model";
  char usd[32];
  std::snprintf(usd, sizeof usd, "; %.6f USD", *cost);
  return text + usd;
}

std::string attempt_line(const TracedAttempt& a, const config::ModelTable& models) {
  std::string text = a.provider + ", " + a.model;
  if (!a.worker_id.empty()) text += ", worker " + a.worker_id;
  if (a.leased_at != Wall{}) text += ", leased " + time_of(a.leased_at);
  if (a.steps.accepted_at != Wall{}) text += ", accepted " + time_of(a.steps.accepted_at);
  if (a.steps.first_text_at != Wall{}) text += ", first text " + time_of(a.steps.first_text_at);
  if (a.ended_at != Wall{}) text += ", ended " + time_of(a.ended_at);
  if (!a.ending.empty()) text += " (" + a.ending + ")";
  if (!a.request_id.empty()) text += ", request id " + a.request_id;
  if (a.usage != bus::Usage{}) text += ", used " + used_text(a.usage, models.find(a.model));
  return line("attempt " + std::to_string(a.attempt), text);
}

std::string trace_text(const Trace& t, std::string_view stage, const config::ModelTable& models) {
  const bool at_work = t.state == Trace::State::Queued || t.state == Trace::State::Leased;
  const std::string_view now = at_work && !stage.empty() ? stage : name_of(t.state);
  std::string out = "Question " + std::to_string(t.turn_id) + ": " + std::string(now);
  if (t.dead) out += "; among the dead letters";
  if (t.asked_again_as != 0) out += "; asked again as " + std::to_string(t.asked_again_as);
  out += "\n";
  out += line("chat", std::to_string(t.chat.chat_id) +
                          (t.chat.thread_id != 0 ? ", topic " + std::to_string(t.chat.thread_id) : "") +
                          ", user " + std::to_string(t.user_id));
  out += line("asked", time_of(t.asked_at));
  for (const TracedAttempt& a : t.attempts)
    out += attempt_line(a, models);
  if (t.settled_at != Wall{}) {
    out += line("settled", time_of(t.settled_at) + (t.answered ? ", answered" : ", failed: " + t.error_code));
    const config::Model* model = t.attempts.empty() ? nullptr : models.find(t.attempts.back().model);
    out += line("used", used_text(t.usage, model));
  }
  std::string ids;
  for (const std::int64_t id : t.message_ids)
    if (id != 0) ids += (ids.empty() ? "" : ", ") + std::to_string(id);
  if (!ids.empty()) out += line("messages", ids);
  if (t.state == Trace::State::Delivered) out += line("delivered", time_of(t.delivered_at));
  if (t.state == Trace::State::Abandoned)
    out += line("given up", time_of(t.delivered_at) + ": " + t.abandoned);
  return out;
}

std::string letters_text(const std::vector<DeadLetter>& letters) {
  if (letters.empty()) return "There are no dead letters.";
  std::string out;
  for (const DeadLetter& l : letters) {
    out += std::to_string(l.turn_id) + "  died " + time_of(l.died_at) + ", asked " + time_of(l.asked_at) +
           ", chat " + std::to_string(l.chat.chat_id) + ", user " + std::to_string(l.user_id) + ", job " +
           l.job_id + "\n";
  }
  return out +
         "Two workers died under each of these. katana trace ID tells more; katana dead-letters --retry ID "
         "asks again,\nkatana dead-letters --drop ID forgets it.\n";
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  // A job's id will do: it begins with the question's number.
  if (failed != std::errc{} || (end != text.data() + text.size() && *end != '-')) return std::nullopt;
  return out;
}

}  // namespace

void Gateway::control_trace(const control::Request& request, const control::ControlServer::Reply& reply) {
  if (request.words.size() != 1) return reply({2, "trace: which ID? It stands in the user's message."});
  const std::string id = request.words[0];
  store_->trace(id, Done<std::optional<Trace>>{.durable = [this, id, reply](Result<std::optional<Trace>> t) {
                  if (!t) return reply({1, t.error().detail});
                  if (!*t)
                    return reply({1, "Nothing is known of " + id + " (any more: see KATANA_RETENTION)."});
                  reply({0, trace_text(**t, dispatcher_->stage_of((*t)->turn_id), offer_.models)});
                }});
}

void Gateway::control_dead_letters(const control::Request& request,
                                   const control::ControlServer::Reply& reply) {
  if (request.words.empty()) {
    store_->dead_letters(Done<std::vector<DeadLetter>>{.durable = [reply](Result<std::vector<DeadLetter>> l) {
      reply(l ? control::Answer{0, letters_text(*l)} : control::Answer{1, l.error().detail});
    }});
    return;
  }
  const auto id = request.words.size() == 2 ? number(request.words[1]) : std::nullopt;
  if (id && request.words[0] == "retry") return retry_dead_letter(*id, reply);
  if (id && request.words[0] == "drop") return drop_dead_letter(*id, reply);
  reply({2, "dead-letters: write --retry ID or --drop ID with a number from the list."});
}

void Gateway::retry_dead_letter(std::int64_t turn_id, const control::ControlServer::Reply& reply) {
  if (draining_) return reply({1, "The gateway is stopping; try again when it is back."});
  store_->retry_dead_letter(turn_id, Done<OpenTurn>{.durable = [this, turn_id, reply](Result<OpenTurn> turn) {
                              if (!turn) return reply({1, turn.error().detail});
                              log::Room{"operator"}.info("Dead letter {} is asked again as job {}", turn_id,
                                                         turn->job.job_id);
                              reply({0, "Asked again, as " + std::to_string(turn->turn_id) + "."});
                              take_up(std::move(*turn), false);
                              count_dead_letters();
                            }});
}

void Gateway::drop_dead_letter(std::int64_t turn_id, const control::ControlServer::Reply& reply) {
  store_->drop_dead_letter(turn_id, Done<Nothing>{.durable = [this, turn_id, reply](Result<Nothing> done) {
                             if (!done) return reply({1, done.error().detail});
                             log::Room{"operator"}.info("Dead letter {} is dropped", turn_id);
                             reply({0, "Dropped."});
                             count_dead_letters();
                           }});
}

void Gateway::count_dead_letters() {
  store_->dead_letters(Done<std::vector<DeadLetter>>{.durable = [this](Result<std::vector<DeadLetter>> l) {
    if (l) dead_letters_ = l->size();
  }});
}

}  // namespace katana::gateway
