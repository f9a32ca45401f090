#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bus/message.hpp"
#include "common/core/clock.hpp"
#include "common/core/result.hpp"
#include "common/core/secret.hpp"
#include "common/net/http.hpp"
#include "workers/sse.hpp"

namespace katana::workers {

/// Why a call failed, and what the worker may do about it.
struct Failure {
  Error error;
  bool retry = false;      ///< the same request may succeed later
  bool other_key = false;  ///< this key is refused or used up; another one may do
};

template <class T>
using Attempted = tl::expected<T, Failure>;

/// An answer as far as it has come.
struct Answer {
  std::string text;
  bus::Usage usage;
  std::optional<bus::StopReason> stop;
  std::string model;  ///< as the provider names it
  std::string id;     ///< the provider's id of this answer

  void clear();
};

/// What one event was.
enum class Step {
  Ping,  ///< life of the connection, not of the answer
  Work,  ///< the answer goes on (thinking counts)
  Done,  ///< nothing more will come
};

/// Reads one call's events into its answer: a provider's own state for one stream. Owned by the call.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual Attempted<Step> read(const SseEvent& event, Answer& answer) = 0;
};

/// The attachments of a job, whole, by their SHA-256.
using Blobs = std::map<std::string, std::shared_ptr<const std::string>>;

/// Port: a provider's protocol. It turns a job into a request, and what comes back into an answer or a
/// failure; it knows no socket and no clock. One a process, owned by the program; loop thread only.
class Provider {
 public:
  virtual ~Provider() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// The request that streams the answer. Rejected when the job can't be put to this provider.
  virtual Result<net::HttpRequest> build(const bus::Job& job, const Blobs& blobs, const Secret& key) = 0;
  virtual std::unique_ptr<Decoder> decoder() = 0;
  /// What an answer that isn't an event stream means: any status but 200, or another type of content.
  virtual Failure refusal(const net::HttpHead& head, std::string_view body, Wall now) = 0;
  /// How long the provider wants no new requests, judged by its rate headers; none: go on.
  virtual std::optional<Millis> hold(const net::HttpHead& head, Wall now) = 0;
  [[nodiscard]] virtual std::string request_id(const net::HttpHead& head) const = 0;
  /// True when this refusal taught the provider to build the request in another way: do so at once.
  virtual bool learn(const net::HttpHead& /*head*/, std::string_view /*body*/) { return false; }
};

}  // namespace katana::workers
