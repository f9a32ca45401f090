#pragma once

#include <string>
#include <vector>

#include "common/bus/codec.hpp"

namespace katana::bus::samples {

inline const std::string kSha(64, 'a');
inline const JobRef kRef{"k7m2xq9t", 3};

inline Usage usage() {
  return {1200, 340, 1000, 17};
}

inline Job job() {
  Job job;
  job.bot_id = 1234567890;
  job.job = kRef;
  job.epoch = 7;
  job.time_left_ms = 600'000;
  job.model = "claude-sonnet-5-5";
  job.system = "Be brief.";
  job.turns = {{Speaker::User, "Grüße 👋"},
               {Speaker::Assistant, "Hello"},
               {Speaker::User, "And this?", {{kSha, 123456, "image/png", "photo.png"}}}};
  job.max_output_tokens = 4096;
  return job;
}

/// One of every message, with every field set to something that isn't its default.
inline std::vector<Message> messages() {
  JobFailed failed{kRef, {Code::RateLimited, "429", Millis{1500}}, "so far", usage(), "req_1"};
  return {Hello{Role::Worker,
                "w1",
                "claude",
                {"claude-opus-5-5", "claude-haiku-5-5"},
                "0.1.0",
                1,
                {kRef, {"b", 1}}},
          Beat{{kRef, {"other", 1}}},
          Credit{500},
          Accept{kRef},
          Chunk{kRef, 42, "a piece of text, “quoted”", true},
          JobResult{kRef, "the whole", usage(), StopReason::Length, "claude-sonnet-5-5", "req_2", 5321},
          failed,
          BlobGet{kSha, 262144},
          Goodbye{},
          Welcome{"g1", 1, {kRef}, {{"gone", 2}}},
          job(),
          Cancel{kRef},
          Committed{kRef},
          BlobPart{kSha, 262144, std::string("\x00\xff\x80 bytes", 9), true, true}};
}

inline Heartbeat heartbeat() {
  Heartbeat beat;
  beat.component = "gateway";
  beat.instance = "gateway";
  beat.process_id = "p1";
  beat.pid = 4711;
  beat.host = "host.example";
  beat.build = "0.1.0";
  beat.state = ServiceState::Draining;
  beat.seq = 12;
  beat.sent_at = from_unix_ms(1'790'000'000'123);
  beat.uptime_ms = 61'000;
  beat.loop_lag_ms = 4;
  beat.progress = 99;
  beat.queue = 3;
  beat.in_flight = 2;
  beat.oldest_wait_ms = 350;
  beat.rss_bytes = 20 << 20;
  beat.cpu_ms = 870;
  beat.last_error = "timeout: poll";
  beat.healthy = false;
  beat.unhealthy_reason = "polling";
  beat.metrics = "katana_up 1\n";
  beat.since_poll_ms = 1'200;
  beat.pending_updates = 7;
  beat.pending_readings = 3;
  beat.requests = 40;
  beat.failed_requests = 2;
  beat.open_questions = 9;
  beat.questions_at_work = 7;
  beat.disk_free_bytes = 5ULL << 30;
  beat.disk_total_bytes = 9ULL << 30;
  beat.certificate_endpoint = "https://provider.example:443";
  beat.certificate_expires = from_unix_ms(1'800'000'000'000);
  return beat;
}

template <class T>
std::string encode(Codec& codec, const T& message) {
  std::string frame(codec.stage(message).value(), '\0');
  codec.write(frame.data());
  return frame;
}

}  // namespace katana::bus::samples
