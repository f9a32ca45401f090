#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

/// The job protocol in the domain's words: what gateway, workers and watchdog say to each other.
/// proto/katana/v1 is its form on the wire; proto/README.md states it as numbered rules.
namespace katana::bus {

/// Raised when an older program could misread a newer one's message. Peers talk when both support 1.
inline constexpr std::uint32_t kProtocolVersion = 1;
/// Largest frame that a peer accepts; a larger one closes the connection.
inline constexpr std::size_t kMaxFrame = 16 << 20;
inline constexpr std::size_t kBlobPart = 256 << 10;

/// One try at a job: what a result is fenced by.
struct JobRef {
  std::string job_id;
  std::uint32_t attempt = 1;
  friend bool operator==(const JobRef&, const JobRef&) = default;
};

enum class Role { Gateway, Worker, Watchdog, Parent };

// ---- worker -> gateway ----

struct Hello {
  Role role = Role::Worker;
  std::string worker_id;  ///< fresh per process
  std::string provider;   ///< "claude", "openai"
  std::vector<std::string> models;
  std::string build;
  std::uint32_t protocol = kProtocolVersion;
  std::vector<JobRef> in_hand;  ///< running jobs, and results not yet committed
};

/// Life, both ways, every 500 ms; from a worker with what it runs.
struct Beat {
  std::vector<JobRef> running;
};

/// How many jobs this gateway may have outstanding at this worker in all (not: more). 0 while draining or
/// slowed.
struct Credit {
  std::uint32_t window = 0;
};

struct Accept {
  JobRef job;
};

/// A piece of answer text, `seq` from 0. With `whole` it is the text from the start, sent after a
/// re-connection.
struct Chunk {
  JobRef job;
  std::uint32_t seq = 0;
  std::string text;
  bool whole = false;
};

struct Usage {
  std::uint64_t input_tokens = 0;  ///< all of the prompt, cached parts included
  std::uint64_t output_tokens = 0;
  std::uint64_t cache_read_tokens = 0;
  std::uint64_t cache_write_tokens = 0;
  friend bool operator==(const Usage&, const Usage&) = default;
  Usage& operator+=(const Usage& more) {
    input_tokens += more.input_tokens;
    output_tokens += more.output_tokens;
    cache_read_tokens += more.cache_read_tokens;
    cache_write_tokens += more.cache_write_tokens;
    return *this;
  }
};

/// `Refusal`: the model's own words say no, and are whole. `Filtered`: the provider's rules ended the answer.
enum class StopReason { End, Length, Refusal, StopSequence, Cancelled, Other, Filtered };

/// The whole answer. Repeated until `Committed`.
struct JobResult {
  JobRef job;
  std::string text;
  Usage usage;
  StopReason stop = StopReason::End;
  std::string model;       ///< as the provider named it
  std::string request_id;  ///< the provider's, for its support
  std::uint32_t upstream_ms = 0;
};

/// The job ended without an answer. Repeated until `Committed`.
struct JobFailed {
  JobRef job;
  Error error;
  std::string partial_text;
  Usage usage;
  std::string request_id;
};

struct BlobGet {
  std::string sha256;  ///< hex
  std::uint64_t offset = 0;
};

/// The worker leaves in good order; it has nothing in hand.
struct Goodbye {};

// ---- gateway -> worker ----

struct Welcome {
  std::string gateway_id;  ///< fresh per process
  std::uint32_t protocol = kProtocolVersion;
  std::vector<JobRef> adopted;   ///< go on with these, and send each one's text so far
  std::vector<JobRef> unwanted;  ///< cancel these
};

struct Attachment {
  std::string sha256;
  std::uint64_t size = 0;
  std::string type;  ///< MIME
  std::string name;
};

enum class Speaker { User, Assistant };
struct Turn {
  Speaker speaker = Speaker::User;
  std::string text;
  std::vector<Attachment> attachments{};
};

struct Job {
  std::int64_t bot_id = 0;
  JobRef job;
  std::uint64_t epoch = 0;  ///< of the gateway that leads this bot; lower than one seen is refused
  std::uint32_t time_left_ms = 0;
  std::string model;  ///< the provider's own id
  std::string system;
  std::vector<Turn> turns;  ///< oldest first; the last one is the user's
  std::uint32_t max_output_tokens = 0;
};

struct Cancel {
  JobRef job;
};

struct Committed {
  JobRef job;
};

struct BlobPart {
  std::string sha256;
  std::uint64_t offset = 0;
  std::string data;
  bool last = false;
  bool missing = false;  ///< not to be had any more
};

using Message = std::variant<Hello, Beat, Credit, Accept, Chunk, JobResult, JobFailed, BlobGet, Goodbye,
                             Welcome, Job, Cancel, Committed, BlobPart>;

// ---- any process -> watchdog ----

enum class ServiceState { Starting, Ready, Draining, Stopped };

/// What every process publishes each 500 ms, and at once when its state changes. Holds no user's words.
struct Heartbeat {
  std::string component;   ///< "gateway", "claude", "openai", "watchdog"
  std::string instance;    ///< "claude-1", "gateway"
  std::string process_id;  ///< fresh per process
  std::int64_t pid = 0;
  std::string host;
  std::string build;
  ServiceState state = ServiceState::Starting;
  std::uint64_t seq = 0;
  Wall sent_at{};
  std::int64_t uptime_ms = 0;
  std::uint32_t loop_lag_ms = 0;  ///< longest turn since the last beat
  std::uint64_t progress = 0;     ///< work done since start: any unit, only its growth counts
  std::uint64_t queue = 0;        ///< waiting work
  std::uint64_t in_flight = 0;    ///< work under way
  std::uint64_t oldest_wait_ms =
      0;  ///< of the work that waits or is under way; the gateway's: see OutboxLoad
  /// Questions whose answers aren't whole yet, and those of them that a worker has in hand (the gateway
  /// alone).
  std::uint64_t open_questions = 0;
  std::uint64_t questions_at_work = 0;
  std::uint64_t rss_bytes = 0;
  std::uint64_t cpu_ms = 0;
  std::uint64_t dead_letters = 0;  ///< questions that wait for an operator's word (the gateway alone)
  std::string last_error;          ///< code and place, never a user's text
  bool healthy = true;             ///< its own judgement (/health)
  std::string unhealthy_reason;
  std::string metrics;  ///< Prometheus text of this process; sent with every 10th beat, else empty

  // What a process knows and the watchdog judges. 0, or empty: it has nothing to say of it.
  std::uint64_t since_poll_ms = 0;     ///< since updates last came from Telegram, or none were there
  std::uint64_t pending_updates = 0;   ///< that wait at Telegram, by its own count …
  std::uint64_t pending_readings = 0;  ///< … which was asked for so many times
  std::uint64_t requests = 0;          ///< to the provider since start, as they ended; no cancelled ones
  std::uint64_t failed_requests = 0;   ///< of these, what the provider or the way to it let fail
  std::uint64_t disk_free_bytes = 0;   ///< of the disk that it writes to
  std::uint64_t disk_total_bytes = 0;
  std::string certificate_endpoint;  ///< `https://host:port`: of all it talks to, the one whose …
  Wall certificate_expires{};        ///< … certificate is the first to expire
};

}  // namespace katana::bus
