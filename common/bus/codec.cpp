#include "common/bus/codec.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <utility>

#include <google/protobuf/arena.h>
#include <google/protobuf/stubs/logging.h>

#include "common/core/text.hpp"
#include "common/log/log.hpp"
#include "katana/v1/heartbeat.pb.h"
#include "katana/v1/job.pb.h"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

namespace pb = google::protobuf;

/// Collects the first thing that is wrong with a message, by the name of its field.
class Check {
 public:
  void require(bool ok, const char* what) {
    if (!ok && wrong_ == nullptr) wrong_ = what;
  }
  [[nodiscard]] const char* wrong() const { return wrong_; }

 private:
  const char* wrong_ = nullptr;
};

/// Ids end up in logs and on pages: printable ASCII without blanks.
bool is_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxName &&
         std::all_of(s.begin(), s.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

bool is_sha256(std::string_view s) {
  return s.size() == 64 && std::all_of(s.begin(), s.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void put_text(std::string_view text, std::string* out) {
  if (text::is_valid_utf8(text)) {
    out->assign(text);
  } else {
    *out = text::sanitize(text);
  }
}

/// A description, cut between two code points when it is longer than its field may be.
void put_clipped(std::string_view text, std::size_t most, std::string* out) {
  put_text(text.substr(0, std::min(text.size(), most)), out);
  if (out->size() <= most && text.size() <= most) return;
  std::size_t end = std::min(out->size(), most);
  while (end > 0 && end < out->size() && (static_cast<unsigned char>((*out)[end]) & 0xC0) == 0x80)
    --end;
  out->resize(end);
}

// ---- enums: ours in the order of declaration, protobuf's one higher, with 0 for "not said" ----

template <class Wire, class Ours>
Wire to_wire(Ours value) {
  return static_cast<Wire>(static_cast<int>(value) + 1);
}

/// Ours, or `otherwise` for a value that this version doesn't know.
template <class Ours>
Ours from_wire(int value, Ours last, Ours otherwise) {
  return value >= 1 && value <= static_cast<int>(last) + 1 ? static_cast<Ours>(value - 1) : otherwise;
}

static_assert(static_cast<int>(Role::Parent) + 1 == v1::ROLE_PARENT);
static_assert(static_cast<int>(StopReason::Filtered) + 1 == v1::STOP_REASON_FILTERED);
static_assert(static_cast<int>(Code::Internal) + 1 == v1::ERROR_CODE_INTERNAL);
static_assert(static_cast<int>(Speaker::Assistant) + 1 == v1::SPEAKER_ASSISTANT);
static_assert(static_cast<int>(ServiceState::Stopped) + 1 == v1::SERVICE_STATE_STOPPED);

// ---- parts that several messages share ----

void put(const JobRef& in, v1::JobRef* out, Check& check) {
  check.require(is_name(in.job_id), "job_id isn't 1 to 64 printable characters");
  check.require(in.attempt >= 1, "attempt is 0");
  put_text(in.job_id, out->mutable_job_id());
  out->set_attempt(in.attempt);
}

JobRef take(v1::JobRef& in, Check& check) {
  JobRef out{std::move(*in.mutable_job_id()), in.attempt()};
  check.require(is_name(out.job_id), "job_id isn't 1 to 64 printable characters");
  check.require(out.attempt >= 1, "attempt is 0");
  return out;
}

template <class List>
void put_refs(const std::vector<JobRef>& in, List* out, Check& check) {
  check.require(in.size() <= kMaxRefs, "more than 16384 jobs in one list");
  for (const JobRef& ref : in)
    put(ref, out->Add(), check);
}

template <class List>
std::vector<JobRef> take_refs(List* in, Check& check) {
  std::vector<JobRef> out;
  check.require(static_cast<std::size_t>(in->size()) <= kMaxRefs, "more than 16384 jobs in one list");
  if (check.wrong() != nullptr) return out;
  out.reserve(static_cast<std::size_t>(in->size()));
  for (v1::JobRef& ref : *in)
    out.push_back(take(ref, check));
  return out;
}

void put(const Usage& in, v1::Usage* out) {
  out->set_input_tokens(in.input_tokens);
  out->set_output_tokens(in.output_tokens);
  out->set_cache_read_tokens(in.cache_read_tokens);
  out->set_cache_write_tokens(in.cache_write_tokens);
}

Usage take(const v1::Usage& in) {
  return {in.input_tokens(), in.output_tokens(), in.cache_read_tokens(), in.cache_write_tokens()};
}

std::string take_label(std::string* in, std::size_t most, Check& check, const char* what) {
  check.require(in->size() <= most, what);
  return std::move(*in);
}

// ---- one pair a message ----

void put(const Hello& in, v1::Envelope& frame, Check& check) {
  v1::Hello& out = *frame.mutable_hello();
  check.require(is_name(in.worker_id), "worker_id isn't 1 to 64 printable characters");
  check.require(is_name(in.provider), "provider isn't 1 to 64 printable characters");
  check.require(in.models.size() <= kMaxModels, "more than 256 models");
  check.require(in.protocol >= 1, "protocol is 0");
  out.set_role(to_wire<v1::Role>(in.role));
  put_text(in.worker_id, out.mutable_worker_id());
  put_text(in.provider, out.mutable_provider());
  for (const std::string& model : in.models)
    put_clipped(model, kMaxLabel, out.add_models());
  put_clipped(in.build, kMaxLabel, out.mutable_build());
  out.set_protocol(in.protocol);
  put_refs(in.in_hand, out.mutable_in_hand(), check);
}

Message take(v1::Hello& in, Check& check) {
  Hello out;
  check.require(in.role() != v1::ROLE_UNSPECIFIED && v1::Role_IsValid(in.role()), "role is unknown");
  out.role = from_wire(in.role(), Role::Parent, Role::Worker);
  out.worker_id = std::move(*in.mutable_worker_id());
  check.require(is_name(out.worker_id), "worker_id isn't 1 to 64 printable characters");
  out.provider = std::move(*in.mutable_provider());
  check.require(is_name(out.provider), "provider isn't 1 to 64 printable characters");
  check.require(in.models_size() <= static_cast<int>(kMaxModels), "more than 256 models");
  if (check.wrong() != nullptr) return out;
  for (std::string& model : *in.mutable_models()) {
    out.models.push_back(take_label(&model, kMaxLabel, check, "a model's name is over 256 bytes"));
  }
  out.build = take_label(in.mutable_build(), kMaxLabel, check, "build is over 256 bytes");
  out.protocol = in.protocol();
  check.require(out.protocol >= 1, "protocol is 0");
  out.in_hand = take_refs(in.mutable_in_hand(), check);
  return out;
}

void put(const Beat& in, v1::Envelope& frame, Check& check) {
  put_refs(in.running, frame.mutable_beat()->mutable_running(), check);
}
Message take(v1::Beat& in, Check& check) {
  return Beat{take_refs(in.mutable_running(), check)};
}

void put(const Credit& in, v1::Envelope& frame, Check&) {
  frame.mutable_credit()->set_window(in.window);
}
Message take(v1::Credit& in, Check&) {
  return Credit{in.window()};
}

void put(const Accept& in, v1::Envelope& frame, Check& check) {
  put(in.job, frame.mutable_accept()->mutable_job(), check);
}
Message take(v1::Accept& in, Check& check) {
  return Accept{take(*in.mutable_job(), check)};
}

void put(const Chunk& in, v1::Envelope& frame, Check& check) {
  v1::Chunk& out = *frame.mutable_chunk();
  put(in.job, out.mutable_job(), check);
  out.set_seq(in.seq);
  put_text(in.text, out.mutable_text());
  out.set_whole(in.whole);
}
Message take(v1::Chunk& in, Check& check) {
  return Chunk{take(*in.mutable_job(), check), in.seq(), std::move(*in.mutable_text()), in.whole()};
}

void put(const JobResult& in, v1::Envelope& frame, Check& check) {
  v1::JobResult& out = *frame.mutable_result();
  put(in.job, out.mutable_job(), check);
  put_text(in.text, out.mutable_text());
  put(in.usage, out.mutable_usage());
  out.set_stop(to_wire<v1::StopReason>(in.stop));
  put_clipped(in.model, kMaxLabel, out.mutable_model());
  put_clipped(in.request_id, kMaxLabel, out.mutable_request_id());
  out.set_upstream_ms(in.upstream_ms);
}
Message take(v1::JobResult& in, Check& check) {
  JobResult out;
  out.job = take(*in.mutable_job(), check);
  out.text = std::move(*in.mutable_text());
  out.usage = take(in.usage());
  out.stop = from_wire(in.stop(), StopReason::Filtered, StopReason::Other);
  out.model = take_label(in.mutable_model(), kMaxLabel, check, "model is over 256 bytes");
  out.request_id = take_label(in.mutable_request_id(), kMaxLabel, check, "request_id is over 256 bytes");
  out.upstream_ms = in.upstream_ms();
  return out;
}

/// Longest wait that a peer can ask for. A wait beyond it is no wait but an operator's matter.
constexpr std::uint64_t kMaxRetryAfterMs = 366ULL * 86'400'000;

void put(const JobFailed& in, v1::Envelope& frame, Check& check) {
  v1::JobFailed& out = *frame.mutable_failed();
  put(in.job, out.mutable_job(), check);
  out.set_code(to_wire<v1::ErrorCode>(in.error.code));
  put_clipped(in.error.detail, kMaxDetail, out.mutable_detail());
  if (in.error.retry_after) {
    const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(in.error.retry_after->count(), 0));
    out.set_retry_after_ms(std::min(ms, kMaxRetryAfterMs));
  }
  put_text(in.partial_text, out.mutable_partial_text());
  put(in.usage, out.mutable_usage());
  put_clipped(in.request_id, kMaxLabel, out.mutable_request_id());
}
Message take(v1::JobFailed& in, Check& check) {
  JobFailed out;
  out.job = take(*in.mutable_job(), check);
  out.error.code = from_wire(in.code(), Code::Internal, Code::Internal);
  out.error.detail = take_label(in.mutable_detail(), kMaxDetail, check, "detail is over 4096 bytes");
  if (in.has_retry_after_ms()) {
    out.error.retry_after =
        Millis{static_cast<std::int64_t>(std::min<std::uint64_t>(in.retry_after_ms(), kMaxRetryAfterMs))};
  }
  out.partial_text = std::move(*in.mutable_partial_text());
  out.usage = take(in.usage());
  out.request_id = take_label(in.mutable_request_id(), kMaxLabel, check, "request_id is over 256 bytes");
  return out;
}

void put(const BlobGet& in, v1::Envelope& frame, Check& check) {
  check.require(is_sha256(in.sha256), "sha256 isn't 64 hexadecimal digits");
  put_text(in.sha256, frame.mutable_blob_get()->mutable_sha256());
  frame.mutable_blob_get()->set_offset(in.offset);
}
Message take(v1::BlobGet& in, Check& check) {
  check.require(is_sha256(in.sha256()), "sha256 isn't 64 hexadecimal digits");
  return BlobGet{std::move(*in.mutable_sha256()), in.offset()};
}

void put(const Goodbye&, v1::Envelope& frame, Check&) {
  frame.mutable_goodbye();
}
Message take(v1::Goodbye&, Check&) {
  return Goodbye{};
}

void put(const Welcome& in, v1::Envelope& frame, Check& check) {
  v1::Welcome& out = *frame.mutable_welcome();
  check.require(is_name(in.gateway_id), "gateway_id isn't 1 to 64 printable characters");
  check.require(in.protocol >= 1, "protocol is 0");
  put_text(in.gateway_id, out.mutable_gateway_id());
  out.set_protocol(in.protocol);
  put_refs(in.adopted, out.mutable_adopted(), check);
  put_refs(in.unwanted, out.mutable_unwanted(), check);
}
Message take(v1::Welcome& in, Check& check) {
  check.require(is_name(in.gateway_id()), "gateway_id isn't 1 to 64 printable characters");
  check.require(in.protocol() >= 1, "protocol is 0");
  Welcome out;
  out.gateway_id = std::move(*in.mutable_gateway_id());
  out.protocol = in.protocol();
  out.adopted = take_refs(in.mutable_adopted(), check);
  out.unwanted = take_refs(in.mutable_unwanted(), check);
  return out;
}

void put(const Attachment& in, v1::Attachment* out, Check& check) {
  check.require(is_sha256(in.sha256), "an attachment's sha256 isn't 64 hexadecimal digits");
  put_text(in.sha256, out->mutable_sha256());
  out->set_size(in.size);
  put_clipped(in.type, kMaxLabel, out->mutable_type());
  put_clipped(in.name, kMaxDetail, out->mutable_name());
}
Attachment take(v1::Attachment& in, Check& check) {
  check.require(is_sha256(in.sha256()), "an attachment's sha256 isn't 64 hexadecimal digits");
  Attachment out;
  out.sha256 = std::move(*in.mutable_sha256());
  out.size = in.size();
  out.type = take_label(in.mutable_type(), kMaxLabel, check, "an attachment's type is over 256 bytes");
  out.name = take_label(in.mutable_name(), kMaxDetail, check, "an attachment's name is over 4096 bytes");
  return out;
}

void put(const Turn& in, v1::Turn* out, Check& check) {
  check.require(in.attachments.size() <= kMaxAttachments, "more than 64 attachments in one turn");
  out->set_speaker(to_wire<v1::Speaker>(in.speaker));
  put_text(in.text, out->mutable_text());
  for (const Attachment& attachment : in.attachments)
    put(attachment, out->add_attachments(), check);
}
Turn take(v1::Turn& in, Check& check) {
  Turn out;
  check.require(in.speaker() != v1::SPEAKER_UNSPECIFIED && v1::Speaker_IsValid(in.speaker()),
                "a turn's speaker is unknown");
  check.require(in.attachments_size() <= static_cast<int>(kMaxAttachments),
                "more than 64 attachments in one turn");
  if (check.wrong() != nullptr) return out;
  out.speaker = from_wire(in.speaker(), Speaker::Assistant, Speaker::User);
  out.text = std::move(*in.mutable_text());
  out.attachments.reserve(static_cast<std::size_t>(in.attachments_size()));
  for (v1::Attachment& attachment : *in.mutable_attachments())
    out.attachments.push_back(take(attachment, check));
  return out;
}

/// The rules of a job that hold on both sides.
void check_turns(std::size_t count, bool last_is_user, Check& check) {
  check.require(count > 0, "turns is empty");
  check.require(count <= kMaxTurns, "more than 4096 turns");
  check.require(last_is_user, "the last turn isn't the user's");
}

void put(const Job& in, v1::Envelope& frame, Check& check) {
  v1::Job& out = *frame.mutable_job();
  check_turns(in.turns.size(), !in.turns.empty() && in.turns.back().speaker == Speaker::User, check);
  check.require(!in.model.empty() && in.model.size() <= kMaxLabel, "model isn't 1 to 256 bytes");
  out.set_bot_id(in.bot_id);
  put(in.job, out.mutable_job(), check);
  out.set_epoch(in.epoch);
  out.set_time_left_ms(in.time_left_ms);
  put_text(in.model, out.mutable_model());
  put_text(in.system, out.mutable_system());
  for (const Turn& turn : in.turns)
    put(turn, out.add_turns(), check);
  out.set_max_output_tokens(in.max_output_tokens);
}
Message take(v1::Job& in, Check& check) {
  Job out;
  const int count = in.turns_size();
  check_turns(static_cast<std::size_t>(count), count > 0 && in.turns(count - 1).speaker() == v1::SPEAKER_USER,
              check);
  check.require(!in.model().empty() && in.model().size() <= kMaxLabel, "model isn't 1 to 256 bytes");
  if (check.wrong() != nullptr) return out;
  out.bot_id = in.bot_id();
  out.job = take(*in.mutable_job(), check);
  out.epoch = in.epoch();
  out.time_left_ms = in.time_left_ms();
  out.model = std::move(*in.mutable_model());
  out.system = std::move(*in.mutable_system());
  out.turns.reserve(static_cast<std::size_t>(count));
  for (v1::Turn& turn : *in.mutable_turns())
    out.turns.push_back(take(turn, check));
  out.max_output_tokens = in.max_output_tokens();
  return out;
}

void put(const Cancel& in, v1::Envelope& frame, Check& check) {
  put(in.job, frame.mutable_cancel()->mutable_job(), check);
}
Message take(v1::Cancel& in, Check& check) {
  return Cancel{take(*in.mutable_job(), check)};
}

void put(const Committed& in, v1::Envelope& frame, Check& check) {
  put(in.job, frame.mutable_committed()->mutable_job(), check);
}
Message take(v1::Committed& in, Check& check) {
  return Committed{take(*in.mutable_job(), check)};
}

void put(const BlobPart& in, v1::Envelope& frame, Check& check) {
  v1::BlobPart& out = *frame.mutable_blob_part();
  check.require(is_sha256(in.sha256), "sha256 isn't 64 hexadecimal digits");
  check.require(in.data.size() <= kBlobPart, "data is over 256 KiB");
  put_text(in.sha256, out.mutable_sha256());
  out.set_offset(in.offset);
  out.set_data(in.data);
  out.set_last(in.last);
  out.set_missing(in.missing);
}
Message take(v1::BlobPart& in, Check& check) {
  check.require(is_sha256(in.sha256()), "sha256 isn't 64 hexadecimal digits");
  check.require(in.data().size() <= kBlobPart, "data is over 256 KiB");
  return BlobPart{std::move(*in.mutable_sha256()), in.offset(), std::move(*in.mutable_data()), in.last(),
                  in.missing()};
}

constexpr std::array kNames = {"hello",  "beat",   "credit",    "accept",   "chunk",
                               "result", "failed", "blob_get",  "goodbye",  "welcome",
                               "job",    "cancel", "committed", "blob_part"};
static_assert(kNames.size() == std::variant_size_v<Message>);

/// The body that is set, and its name for errors.
Message take_body(v1::Envelope& in, Check& check, const char*& name) {
  switch (in.body_case()) {
    case v1::Envelope::kHello:
      name = kNames[0];
      return take(*in.mutable_hello(), check);
    case v1::Envelope::kBeat:
      name = kNames[1];
      return take(*in.mutable_beat(), check);
    case v1::Envelope::kCredit:
      name = kNames[2];
      return take(*in.mutable_credit(), check);
    case v1::Envelope::kAccept:
      name = kNames[3];
      return take(*in.mutable_accept(), check);
    case v1::Envelope::kChunk:
      name = kNames[4];
      return take(*in.mutable_chunk(), check);
    case v1::Envelope::kResult:
      name = kNames[5];
      return take(*in.mutable_result(), check);
    case v1::Envelope::kFailed:
      name = kNames[6];
      return take(*in.mutable_failed(), check);
    case v1::Envelope::kBlobGet:
      name = kNames[7];
      return take(*in.mutable_blob_get(), check);
    case v1::Envelope::kGoodbye:
      name = kNames[8];
      return take(*in.mutable_goodbye(), check);
    case v1::Envelope::kWelcome:
      name = kNames[9];
      return take(*in.mutable_welcome(), check);
    case v1::Envelope::kJob:
      name = kNames[10];
      return take(*in.mutable_job(), check);
    case v1::Envelope::kCancel:
      name = kNames[11];
      return take(*in.mutable_cancel(), check);
    case v1::Envelope::kCommitted:
      name = kNames[12];
      return take(*in.mutable_committed(), check);
    case v1::Envelope::kBlobPart:
      name = kNames[13];
      return take(*in.mutable_blob_part(), check);
    case v1::Envelope::BODY_NOT_SET:
      break;
  }
  check.require(false, "no body, or one that this version doesn't know");
  return Goodbye{};
}

// ---- heartbeats ----

/// A wall clock beyond this (the year 2200) is no clock; it would overflow the nanoseconds of our own.
constexpr std::int64_t kMaxUnixMs = 7'258'118'400'000;

void put(const Heartbeat& in, v1::Heartbeat& out, Check& check) {
  check.require(!in.component.empty(), "component is empty");
  check.require(!in.process_id.empty(), "process_id is empty");
  out.set_version(kProtocolVersion);
  put_clipped(in.component, kMaxName, out.mutable_component());
  put_clipped(in.instance, kMaxLabel, out.mutable_instance());
  put_clipped(in.process_id, kMaxName, out.mutable_process_id());
  out.set_pid(in.pid);
  put_clipped(in.host, kMaxLabel, out.mutable_host());
  put_clipped(in.build, kMaxLabel, out.mutable_build());
  out.set_state(to_wire<v1::ServiceState>(in.state));
  out.set_seq(in.seq);
  out.set_sent_at_unix_ms(std::clamp<std::int64_t>(to_unix_ms(in.sent_at), 0, kMaxUnixMs));
  out.set_uptime_ms(std::max<std::int64_t>(in.uptime_ms, 0));
  out.set_loop_lag_ms(in.loop_lag_ms);
  out.set_progress(in.progress);
  out.set_queue(in.queue);
  out.set_in_flight(in.in_flight);
  out.set_oldest_wait_ms(in.oldest_wait_ms);
  out.set_rss_bytes(in.rss_bytes);
  out.set_cpu_ms(in.cpu_ms);
  out.set_dead_letters(in.dead_letters);
  put_clipped(in.last_error, kMaxDetail, out.mutable_last_error());
  out.set_healthy(in.healthy);
  put_clipped(in.unhealthy_reason, kMaxDetail, out.mutable_unhealthy_reason());
  put_text(in.metrics, out.mutable_metrics());
  out.set_open_questions(in.open_questions);
  out.set_questions_at_work(in.questions_at_work);
  out.set_since_poll_ms(in.since_poll_ms);
  out.set_pending_updates(in.pending_updates);
  out.set_pending_readings(in.pending_readings);
  out.set_requests(in.requests);
  out.set_failed_requests(in.failed_requests);
  out.set_disk_free_bytes(in.disk_free_bytes);
  out.set_disk_total_bytes(in.disk_total_bytes);
  put_clipped(in.certificate_endpoint, kMaxLabel, out.mutable_certificate_endpoint());
  out.set_certificate_expires_unix_ms(
      std::clamp<std::int64_t>(to_unix_ms(in.certificate_expires), 0, kMaxUnixMs));
}

Heartbeat take(v1::Heartbeat& in, Check& check) {
  Heartbeat out;
  check.require(v1::ServiceState_IsValid(in.state()) && in.state() != v1::SERVICE_STATE_UNSPECIFIED,
                "state is unknown");
  check.require(in.sent_at_unix_ms() >= 0 && in.sent_at_unix_ms() <= kMaxUnixMs,
                "sent_at_unix_ms is no time");
  check.require(in.uptime_ms() >= 0, "uptime_ms is negative");
  check.require(in.certificate_expires_unix_ms() >= 0 && in.certificate_expires_unix_ms() <= kMaxUnixMs,
                "certificate_expires_unix_ms is no time");
  check.require(!in.component().empty(), "component is empty");
  check.require(!in.process_id().empty(), "process_id is empty");
  if (check.wrong() != nullptr) return out;
  out.component = take_label(in.mutable_component(), kMaxName, check, "component is over 64 bytes");
  out.instance = take_label(in.mutable_instance(), kMaxLabel, check, "instance is over 256 bytes");
  out.process_id = take_label(in.mutable_process_id(), kMaxName, check, "process_id is over 64 bytes");
  out.pid = in.pid();
  out.host = take_label(in.mutable_host(), kMaxLabel, check, "host is over 256 bytes");
  out.build = take_label(in.mutable_build(), kMaxLabel, check, "build is over 256 bytes");
  out.state = from_wire(in.state(), ServiceState::Stopped, ServiceState::Starting);
  out.seq = in.seq();
  out.sent_at = from_unix_ms(in.sent_at_unix_ms());
  out.uptime_ms = in.uptime_ms();
  out.loop_lag_ms = in.loop_lag_ms();
  out.progress = in.progress();
  out.queue = in.queue();
  out.in_flight = in.in_flight();
  out.oldest_wait_ms = in.oldest_wait_ms();
  out.rss_bytes = in.rss_bytes();
  out.cpu_ms = in.cpu_ms();
  out.dead_letters = in.dead_letters();
  out.last_error = take_label(in.mutable_last_error(), kMaxDetail, check, "last_error is over 4096 bytes");
  out.healthy = in.healthy();
  out.unhealthy_reason =
      take_label(in.mutable_unhealthy_reason(), kMaxDetail, check, "unhealthy_reason is over 4096 bytes");
  out.metrics = std::move(*in.mutable_metrics());
  out.open_questions = in.open_questions();
  out.questions_at_work = in.questions_at_work();
  out.since_poll_ms = in.since_poll_ms();
  out.pending_updates = in.pending_updates();
  out.pending_readings = in.pending_readings();
  out.requests = in.requests();
  out.failed_requests = in.failed_requests();
  out.disk_free_bytes = in.disk_free_bytes();
  out.disk_total_bytes = in.disk_total_bytes();
  out.certificate_endpoint = take_label(in.mutable_certificate_endpoint(), kMaxLabel, check,
                                        "certificate_endpoint is over 256 bytes");
  out.certificate_expires = from_unix_ms(in.certificate_expires_unix_ms());
  return out;
}

// ---- frames ----

tl::unexpected<Error> malformed(std::string_view name, std::string_view what) {
  return fail(Code::Malformed, std::string(name) + ": " + std::string(what));
}

/// The version comes first in every frame: a peer that speaks a later one is refused before it can be
/// misread.
const char* wrong_version(std::uint32_t version) {
  if (version == 0) return "its version is missing";
  if (version > kProtocolVersion) return "it is made for a later version of the protocol";
  return nullptr;
}

/// Protobuf writes to standard error by itself; its lines belong in the log. What it says of a frame (text
/// that isn't UTF-8) comes back to our caller as Malformed anyway, so that a broken peer can't fill the log
/// with it.
void log_line(pb::LogLevel level, const char* file, int line, const std::string& message) {
  const auto to = level == pb::LOGLEVEL_FATAL ? log::Level::Critical : log::Level::Debug;
  kLog.write(to, "protobuf: {} ({}:{})", message, file, line);
}

constexpr std::size_t kFirstBlock = 16 << 10;

}  // namespace

/// The arena keeps its first block from frame to frame, so that a usual message costs no allocation but its
/// texts.
struct Codec::Impl {
  std::array<char, kFirstBlock> block;
  pb::Arena arena{block.data(), block.size()};
  const pb::MessageLite* staged = nullptr;
  std::size_t staged_size = 0;

  template <class Frame>
  Frame* fresh() {
    staged = nullptr;
    arena.Reset();
    return pb::Arena::CreateMessage<Frame>(&arena);
  }

  Result<std::size_t> stage(const pb::MessageLite& frame, const Check& check, const char* name,
                            std::size_t most) {
    if (check.wrong() != nullptr) return fail(Code::Internal, std::string(name) + ": " + check.wrong());
    const std::size_t size = frame.ByteSizeLong();
    if (size > most) {
      return fail(Code::Rejected, std::string(name) + " of " + std::to_string(size) +
                                      " bytes is over the limit of " + std::to_string(most));
    }
    staged = &frame;
    staged_size = size;
    return size;
  }
};

Codec::Codec() : impl_(std::make_unique<Impl>()) {
  static const pb::LogHandler* const previous = pb::SetLogHandler(&log_line);
  static_cast<void>(previous);
}
Codec::~Codec() = default;
Codec::Codec(Codec&&) noexcept = default;
Codec& Codec::operator=(Codec&&) noexcept = default;

Result<std::size_t> Codec::stage(const Message& message) {
  auto* frame = impl_->fresh<v1::Envelope>();
  Check check;
  frame->set_version(kProtocolVersion);
  std::visit([&](const auto& body) { put(body, *frame, check); }, message);
  return impl_->stage(*frame, check, kNames[message.index()], kMaxFrame);
}

Result<std::size_t> Codec::stage(const Heartbeat& beat) {
  auto* frame = impl_->fresh<v1::Heartbeat>();
  Check check;
  put(beat, *frame, check);
  // A beat matters more than the metrics that ride on it.
  if (frame->ByteSizeLong() > kMaxHeartbeat) frame->clear_metrics();
  return impl_->stage(*frame, check, "heartbeat", kMaxHeartbeat);
}

void Codec::write(void* out) {
  impl_->staged->SerializeWithCachedSizesToArray(static_cast<std::uint8_t*>(out));
}

Result<Message> Codec::decode(std::string_view frame) {
  if (frame.size() > kMaxFrame) return malformed("frame", "it is over the limit of 16 MiB");
  auto* in = impl_->fresh<v1::Envelope>();
  if (!in->ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return malformed("frame", "it isn't a katana.v1.Envelope");
  }
  if (const char* wrong = wrong_version(in->version())) return malformed("frame", wrong);
  Check check;
  const char* name = "frame";
  Message message = take_body(*in, check, name);
  if (check.wrong() != nullptr) return malformed(name, check.wrong());
  return message;
}

Result<Heartbeat> Codec::decode_heartbeat(std::string_view frame) {
  if (frame.size() > kMaxHeartbeat) return malformed("heartbeat", "it is over the limit of 1 MiB");
  auto* in = impl_->fresh<v1::Heartbeat>();
  if (!in->ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return malformed("heartbeat", "it isn't a katana.v1.Heartbeat");
  }
  if (const char* wrong = wrong_version(in->version())) return malformed("heartbeat", wrong);
  Check check;
  Heartbeat beat = take(*in, check);
  if (check.wrong() != nullptr) return malformed("heartbeat", check.wrong());
  return beat;
}

}  // namespace katana::bus
