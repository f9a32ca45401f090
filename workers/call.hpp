#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bus/message.hpp"
#include "common/config/settings.hpp"
#include "common/core/backoff.hpp"
#include "common/core/clock.hpp"
#include "common/net/http.hpp"
#include "workers/keys.hpp"
#include "workers/provider.hpp"
#include "workers/sse.hpp"

namespace katana::workers {

/// An outcome; the others are the names of error codes.
inline constexpr std::string_view kAnswered = "answered";

/// How a job ended at its provider, for the metrics.
struct CallReport {
  std::string_view outcome;  ///< `kAnswered`, or the error's code
  Millis took{};
  std::optional<Millis> first_text;
  bus::Usage usage;
  int retries = 0;
};

/// One job at its provider: the request, its stream, and the system's only retry loop. Owned by the worker,
/// which calls `tick` while `busy`; used again for the next job after that. Loop thread only.
///
/// States: Idle → Asking ⇄ Pausing → Ended (the outcome stands; the connection may still be emptied) → Idle.
class Call {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_event() = 0;            ///< the answer goes on: text, thought, anything but a ping
    virtual void on_try() = 0;              ///< it waits for the provider anew: asked, or for its pause
    virtual void on_text(Call& call) = 0;   ///< there is `fresh` text; not said again until it is taken
    virtual void on_end(Call& call) = 0;    ///< see `failure()`; may come from inside `begin`
    virtual void on_hold(Millis wait) = 0;  ///< the provider asks for fewer requests
    virtual void on_report(const CallReport& report) = 0;
  };
  /// What all calls of a worker share.
  struct Means {
    Provider& provider;
    net::HttpClient& http;
    const Clock& clock;
    KeyRing& keys;
    config::LogMessages log_messages;
  };

  static constexpr int kRetries = 2;
  static constexpr Millis kRetryBase{500};
  static constexpr Millis kRetryCap{8'000};
  /// Who is asked to wait longer than this gives up, so that somebody else can be asked.
  static constexpr Millis kLongestPause{60'000};
  /// Silence of the connection; the same, if pings alone come.
  static constexpr Millis kSilence{60'000};
  static constexpr Millis kOnlyPings{120'000};
  /// What an ended answer's connection gets to say its last bytes, so that it can serve again.
  static constexpr Millis kTail{2'000};
  static constexpr std::size_t kMaxAnswer = 4 << 20;

  Call(const Means& means, Owner& owner);

  /// `blobs`: of all its attachments. `deadline`: the gateway's patience.
  void begin(bus::Job job, Blobs blobs, Mono deadline);
  void tick(Mono now);
  /// Ends it as `why`; the connection is closed at once. Nothing if it has ended.
  void stop(Error why);

  [[nodiscard]] const bus::JobRef& ref() const { return job_.job; }
  [[nodiscard]] Answer& answer() { return answer_; }
  /// The text that wasn't taken yet.
  [[nodiscard]] std::string_view fresh() const {
    return std::string_view(answer_.text).substr(std::min(taken_, answer_.text.size()));
  }
  void take_text() {
    taken_ = answer_.text.size();
    announced_ = false;
  }
  /// Why it failed; none: it was answered.
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  [[nodiscard]] const std::string& request_id() const { return request_id_; }
  [[nodiscard]] Millis took() const;
  [[nodiscard]] Mono last_life() const { return last_work_; }
  [[nodiscard]] bool pausing() const { return state_ == State::Pausing; }
  /// False when it is through with everything and may be used again.
  [[nodiscard]] bool busy() const { return state_ != State::Idle; }

 private:
  enum class State { Idle, Asking, Pausing, Ended };

  void ask();
  void on_head(const net::HttpHead& head);
  void on_data(std::string_view bytes);
  void on_done(Result<net::HttpResponse> done);
  /// True when the answer is whole or the call failed, and ended with that.
  bool read_events(bool at_end);
  void failed(Failure failure);
  void end(std::optional<Error> failure);
  void go_idle();
  void estimate_usage(Code why);
  void write_log() const;

  Means means_;
  Owner& owner_;
  State state_ = State::Idle;
  bus::Job job_;
  Blobs blobs_;
  std::string excerpt_;  ///< of the prompt, for the log
  std::size_t prompt_bytes_ = 0;
  Mono began_{};
  Mono deadline_{};

  net::HttpCall http_;
  SseParser parser_;
  std::unique_ptr<Decoder> decoder_;
  Answer answer_;
  std::size_t taken_ = 0;   ///< bytes of its text
  bool announced_ = false;  ///< its owner knows of fresh text
  std::optional<Error> failure_;
  std::string request_id_;
  std::string refusal_;  ///< body of an answer that isn't a stream
  bool streaming_ = false;
  bool worked_ = false;   ///< this try's stream brought more than pings
  bus::Usage earlier_{};  ///< of the tries before this one
  std::size_t key_ = 0;
  Mono last_byte_{};
  Mono last_work_{};
  Mono resume_at_{};
  Mono ended_{};
  std::optional<Mono> first_text_;
  Backoff backoff_{kRetryBase, kRetryCap};
  int key_changes_ = 0;
  int lessons_ = 0;
};

}  // namespace katana::workers
