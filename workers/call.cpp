#include "workers/call.hpp"

#include <algorithm>
#include <utility>

#include "common/core/fail_point.hpp"
#include "common/core/id.hpp"
#include "common/log/log.hpp"

namespace katana::workers {
namespace {

constexpr std::size_t kMaxStream = 64 << 20;  ///< bytes of one answer's events
constexpr std::size_t kMaxRefusal = 64 << 10;
constexpr std::size_t kKeepParser = 256 << 10;  ///< more memory than this isn't kept for the next job
constexpr int kLessons = 2;
constexpr Millis kRefusedKeyRests{60'000};
constexpr Millis kLimitedKeyRests{10'000};
constexpr Millis kHoldWhenBusy{1'000};

constexpr log::Room kLog{"provider"};

double seconds(Millis ms) {
  return static_cast<double>(ms.count()) / 1000.0;
}

/// A server may repeat in its words the key that it was sent.
void hide_key(std::string& text, const Secret& key) {
  if (key.reveal().size() < 8) return;
  for (auto at = text.find(key.reveal()); at != std::string::npos; at = text.find(key.reveal())) {
    text.replace(at, key.reveal().size(), key.masked());
  }
}

/// A JSON document, or somebody's page: no stream, whatever the status. What says nothing of its kind is
/// taken for one, as some compatible servers do.
bool no_stream(const net::HttpHead& head) {
  const std::string_view kind = head.find("content-type");
  return kind.starts_with("application/json") || kind.starts_with("text/html");
}

/// By us or by the network: the provider didn't fail, and bills what it did. A try that it ended itself
/// before any text is taken for free.
bool broken_off(Code why) {
  return why == Code::Network || why == Code::Timeout || why == Code::Cancelled;
}

Failure cut_off(std::string detail) {
  return {.error = {Code::Network, std::move(detail)}, .retry = true, .other_key = false};
}

}  // namespace

void Answer::clear() {
  text.clear();
  usage = {};
  stop.reset();
  model.clear();
  id.clear();
}

Call::Call(const Means& means, Owner& owner) : means_(means), owner_(owner) {}

Millis Call::took() const {
  const Mono until = state_ == State::Ended ? ended_ : means_.clock.mono();
  return std::chrono::duration_cast<Millis>(until - began_);
}

void Call::begin(bus::Job job, Blobs blobs, Mono deadline) {
  job_ = std::move(job);
  blobs_ = std::move(blobs);
  deadline_ = deadline;
  began_ = last_work_ = means_.clock.mono();
  prompt_bytes_ = job_.system.size();
  for (const bus::Turn& turn : job_.turns)
    prompt_bytes_ += turn.text.size();
  excerpt_ =
      log::excerpt(job_.turns.empty() ? std::string_view() : job_.turns.back().text, means_.log_messages);
  failure_.reset();
  earlier_ = {};
  first_text_.reset();
  request_id_.clear();
  answer_.clear();
  take_text();
  backoff_.reset();
  key_changes_ = lessons_ = 0;
  ask();
}

void Call::ask() {
  state_ = State::Asking;
  answer_.clear();
  take_text();
  streaming_ = worked_ = false;
  key_ = means_.keys.pick(means_.clock.mono());
  auto request = means_.provider.build(job_, blobs_, means_.keys.at(key_));
  if (!request) return end(request.error());
  request->total_timeout = Millis{0};  // the deadline and the silence of a stream are judged in `tick`
  request->max_body = kMaxStream;
  refusal_.clear();
  if (parser_.capacity() > kKeepParser) parser_ = SseParser();
  parser_.reset();
  decoder_ = means_.provider.decoder();
  last_byte_ = last_work_ = means_.clock.mono();
  owner_.on_try();
  kLog.debug("{} {}: job {} attempt {} asks", means_.provider.name(), job_.model, job_.job.job_id,
             job_.job.attempt);
  http_ = means_.http.start(
      std::move(*request), {.on_head = [this](const net::HttpHead& head) { on_head(head); },
                            .on_data = [this](std::string_view bytes) { on_data(bytes); },
                            .on_done = [this](Result<net::HttpResponse> done) { on_done(std::move(done)); }});
  fail_point("asked");
}

void Call::on_head(const net::HttpHead& head) {
  last_byte_ = last_work_ = means_.clock.mono();
  request_id_ = means_.provider.request_id(head);
  streaming_ = head.status == 200 && !no_stream(head);
  if (const auto wait = means_.provider.hold(head, means_.clock.wall())) {
    if (!means_.keys.rest(key_, last_byte_, last_byte_ + *wait, KeyRing::Why::Limited)) {
      owner_.on_hold(*wait);
    }
  }
}

void Call::on_data(std::string_view bytes) {
  if (state_ != State::Asking) return;  // the tail of an answer that is whole
  last_byte_ = means_.clock.mono();
  if (!streaming_) {
    refusal_.append(bytes.substr(0, kMaxRefusal - refusal_.size()));
    return;
  }
  parser_.push(bytes);
  read_events(false);
}

bool Call::read_events(bool at_end) {
  const std::size_t before = answer_.text.size();
  const auto tell_growth = [&] {
    if (answer_.text.size() == before) return;
    if (before == 0) {
      first_text_ = last_byte_;
      blobs_.clear();  // from here on nothing is asked again
      job_.turns.clear();
      job_.turns.shrink_to_fit();
      job_.system.clear();
      job_.system.shrink_to_fit();
    }
  };
  bool work = false;
  SseEvent event;
  for (;;) {
    const auto more = parser_.next(event);
    if (!more) return tell_growth(), failed({.error = more.error(), .retry = true}), true;
    if (!*more) break;
    auto step = decoder_->read(event, answer_);
    if (answer_.text.size() > kMaxAnswer) {
      step = tl::unexpected(Failure{.error = {Code::Malformed, "the answer is longer than 4 MiB"}});
    }
    if (!step) {
      // What breaks off in the middle of an event isn't malformed.
      const bool nonsense = step.error().error.code == Code::Malformed;
      if (at_end && nonsense) break;
      step.error().retry = step.error().retry || nonsense;  // a request made anew gets another stream
      return tell_growth(), failed(std::move(step.error())), true;
    }
    if (*step == Step::Done) return tell_growth(), end(std::nullopt), true;
    work = work || *step == Step::Work;
  }
  tell_growth();
  if (work) {
    worked_ = true;
    last_work_ = last_byte_;
    owner_.on_event();
    if (!announced_ && !fresh().empty()) {
      announced_ = true;
      owner_.on_text(*this);
    }
  }
  return false;
}

void Call::on_done(Result<net::HttpResponse> done) {
  if (state_ == State::Ended) return go_idle();
  http_ = {};
  if (!done) {
    if (answer_.stop) return end(std::nullopt);  // only the farewell is missing
    Failure failure{.error = done.error(), .retry = done.error().transient()};
    return failed(std::move(failure));
  }
  if (streaming_) {
    parser_.finish();
    if (read_events(true)) return;
    if (answer_.stop) return end(std::nullopt);
    return failed(cut_off("the stream ended in the middle of the answer"));
  }
  if (refusal_.empty()) refusal_ = std::move(done->body);
  hide_key(refusal_, means_.keys.at(key_));  // whole: what is quoted of it may be cut within the key
  if (lessons_ < kLessons && means_.provider.learn(done->head, refusal_)) {
    ++lessons_;
    kLog.info("{}: the server doesn't know a field of the request; asking in its older form",
              means_.provider.name());
    return ask();
  }
  failed(means_.provider.refusal(done->head, refusal_, means_.clock.wall()));
}

void Call::failed(Failure failure) {
  http_ = {};
  Error& error = failure.error;
  hide_key(error.detail, means_.keys.at(key_));
  const Mono now = means_.clock.mono();
  const bool slow = error.code == Code::RateLimited || error.code == Code::Overloaded;
  bool other_key = false;
  if (failure.other_key) {
    const Millis rest = slow ? error.retry_after.value_or(kLimitedKeyRests) : kRefusedKeyRests;
    const auto why = slow ? KeyRing::Why::Limited : KeyRing::Why::Refused;
    other_key = means_.keys.rest(key_, now, now + rest, why) &&
                key_changes_ + 1 < static_cast<int>(means_.keys.size());
    // None is fit for use: this waits for the one that is back first, whatever the last one asked for.
    if (const auto back = means_.keys.back_at(); back && !other_key && means_.keys.size() > 1) {
      error.code = Code::RateLimited;
      error.retry_after = std::max(Millis{0}, std::chrono::ceil<Millis>(*back - now));
      owner_.on_hold(*error.retry_after);
      failure.retry = failure.retry || !slow;
    }
  }
  if (slow && !other_key) owner_.on_hold(error.retry_after.value_or(kHoldWhenBusy));
  if (!answer_.text.empty()) return end(std::move(error));
  if (other_key) {
    ++key_changes_;
    kLog.warn("{}: key {} is refused ({}); the next one is used", means_.provider.name(),
              means_.keys.at(key_).masked(), error.detail);
    return ask();
  }
  if (!failure.retry || backoff_.tries() >= kRetries) return end(std::move(error));
  const Millis wait = std::max(backoff_.next(random_u64()), error.retry_after.value_or(Millis{0}));
  if (wait > kLongestPause || now + wait >= deadline_) return end(std::move(error));
  kLog.info("{}: job {} is asked again in {:.1f} s: {}", means_.provider.name(), job_.job.job_id,
            seconds(wait), error.detail);
  if (broken_off(error.code)) {
    estimate_usage(error.code);
    earlier_ += answer_.usage;
  }
  state_ = State::Pausing;
  resume_at_ = now + wait;
  owner_.on_try();
}

void Call::tick(Mono now) {
  switch (state_) {
    case State::Idle:
      return;
    case State::Ended:
      if (now - ended_ >= kTail) go_idle();
      return;
    case State::Pausing:
      if (now >= resume_at_) ask();
      return;
    case State::Asking:
      break;
  }
  const auto too_late = [&](const char* why, bool retry) {
    if (answer_.stop) return end(std::nullopt);
    failed({.error = {Code::Timeout, why}, .retry = retry});
  };
  if (now >= deadline_) return too_late("the time for this job is over", false);
  if (now - last_byte_ >= kSilence) return too_late("nothing came from the provider for 60 s", true);
  if (now - last_work_ >= kOnlyPings) return too_late("only pings came from the provider for 120 s", true);
}

void Call::stop(Error why) {
  if (state_ == State::Asking || state_ == State::Pausing) {
    http_ = {};
    end(std::move(why));
  }
}

void Call::end(std::optional<Error> failure) {
  failure_ = std::move(failure);
  if (state_ == State::Pausing) answer_.usage = {};  // it is among the earlier ones, or cost nothing
  if (failure_ && state_ == State::Asking) {
    estimate_usage(failure_->code);
    if (answer_.text.empty() && !broken_off(failure_->code)) answer_.usage = {};
  }
  answer_.usage += earlier_;
  ended_ = means_.clock.mono();
  state_ = State::Ended;
  write_log();
  CallReport report{.outcome = failure_ ? to_string(failure_->code) : kAnswered,
                    .took = took(),
                    .usage = answer_.usage,
                    .retries = backoff_.tries()};
  if (first_text_) report.first_text = std::chrono::duration_cast<Millis>(*first_text_ - began_);
  owner_.on_report(report);
  fail_point("answered");
  const bool tail = static_cast<bool>(http_);
  owner_.on_end(*this);
  if (!tail) go_idle();
}

void Call::go_idle() {
  state_ = State::Idle;
  http_ = {};
  decoder_.reset();
  blobs_.clear();
  job_ = {};
}

/// A stream that is broken off is billed, but says its counts only at its end: some 4 bytes are a token. What
/// was thought before can't be known.
void Call::estimate_usage(Code why) {
  if (answer_.text.empty() && !(worked_ && broken_off(why))) return;
  const auto tokens = [](std::size_t bytes) { return static_cast<std::uint64_t>((bytes + 3) / 4); };
  answer_.usage.output_tokens = std::max(answer_.usage.output_tokens, tokens(answer_.text.size()));
  if (answer_.usage.input_tokens == 0) answer_.usage.input_tokens = tokens(prompt_bytes_);
}

void Call::write_log() const {
  const double first = first_text_ ? seconds(std::chrono::duration_cast<Millis>(*first_text_ - began_)) : 0;
  const std::string_view prompt = excerpt_;
  if (!failure_) {
    kLog.info(
        "{} {} answered job {} in {:.2f} s (first text {:.2f} s), tokens {} in {} out, request {}: \"{}\"",
        means_.provider.name(), job_.model, job_.job.job_id, seconds(took()), first,
        answer_.usage.input_tokens, answer_.usage.output_tokens, request_id_, prompt);
    return;
  }
  kLog.write(failure_->code == Code::Cancelled ? log::Level::Info : log::Level::Error,
             "{} {} gave no answer to job {} after {:.2f} s and {} retries: {}: {}; tokens {} in {} out, "
             "request {}: \"{}\"",
             means_.provider.name(), job_.model, job_.job.job_id, seconds(took()), backoff_.tries(),
             to_string(failure_->code), failure_->detail, answer_.usage.input_tokens,
             answer_.usage.output_tokens, request_id_, prompt);
}

}  // namespace katana::workers
