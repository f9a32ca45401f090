#include "common/bus/codec.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/core/text.hpp"
#include "tests/unit/bus/samples.hpp"

namespace katana::bus {
namespace {

using samples::encode;
using samples::kRef;
using samples::kSha;
using testing::HasSubstr;

/// Decoding copies nothing that encoding would not write again: equal frames mean equal messages.
class EveryMessage : public testing::TestWithParam<Message> {};

TEST_P(EveryMessage, ComesBackAsItWent) {
  Codec codec;
  const std::string frame = encode(codec, GetParam());
  const auto back = codec.decode(frame);
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->index(), GetParam().index());
  EXPECT_EQ(encode(codec, *back), frame);
}

TEST_P(EveryMessage, CutShortIsAnErrorOrAnotherValidMessage) {
  Codec codec;
  const std::string frame = encode(codec, GetParam());
  std::size_t refused = 0;
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const auto back = codec.decode(frame.substr(0, size));
    if (back) continue;
    ++refused;
    EXPECT_EQ(back.error().code, Code::Malformed);
    EXPECT_FALSE(back.error().detail.empty());
  }
  // The body is one field of the envelope: until its last byte is there, nothing is.
  EXPECT_EQ(refused, frame.size());
}

TEST_P(EveryMessage, OfALaterVersionIsRefused) {
  Codec codec;
  std::string frame = encode(codec, GetParam());
  ASSERT_EQ(frame.substr(0, 2), std::string("\x08\x01", 2));  // version = 1
  frame[1] = 2;
  const auto later = codec.decode(frame);
  ASSERT_FALSE(later);
  EXPECT_THAT(later.error().detail, HasSubstr("later version"));
  EXPECT_FALSE(codec.decode(frame.substr(2)));  // no version at all
}

INSTANTIATE_TEST_SUITE_P(Codec, EveryMessage, testing::ValuesIn(samples::messages()));

TEST(Codec, KeepsEachField) {
  Codec codec;
  const auto round = [&](const Message& message) { return codec.decode(encode(codec, message)).value(); };

  const auto job = std::get<Job>(round(samples::job()));
  EXPECT_EQ(job.bot_id, 1234567890);
  EXPECT_EQ(job.job, kRef);
  EXPECT_EQ(job.epoch, 7u);
  EXPECT_EQ(job.time_left_ms, 600'000u);
  EXPECT_EQ(job.system, "Be brief.");
  ASSERT_EQ(job.turns.size(), 3u);
  EXPECT_EQ(job.turns[0].text, "Grüße 👋");
  EXPECT_EQ(job.turns[1].speaker, Speaker::Assistant);
  ASSERT_EQ(job.turns[2].attachments.size(), 1u);
  EXPECT_EQ(job.turns[2].attachments[0].name, "photo.png");
  EXPECT_EQ(job.max_output_tokens, 4096u);

  const auto failed = std::get<JobFailed>(round(samples::messages()[6]));
  EXPECT_EQ(failed.error.code, Code::RateLimited);
  EXPECT_EQ(failed.error.retry_after, Millis{1500});
  EXPECT_EQ(failed.partial_text, "so far");
  EXPECT_EQ(failed.usage, samples::usage());

  const auto result = std::get<JobResult>(round(samples::messages()[5]));
  EXPECT_EQ(result.stop, StopReason::Length);
  EXPECT_EQ(result.upstream_ms, 5321u);

  const auto welcome = std::get<Welcome>(round(samples::messages()[9]));
  EXPECT_EQ(welcome.adopted, std::vector{kRef});
  EXPECT_EQ(welcome.unwanted, (std::vector<JobRef>{{"gone", 2}}));

  const auto part = std::get<BlobPart>(round(samples::messages()[13]));
  EXPECT_EQ(part.data, std::string("\x00\xff\x80 bytes", 9));
  EXPECT_TRUE(part.last && part.missing);
}

TEST(Codec, KeepsEveryEnumValue) {
  Codec codec;
  for (int code = 0; code <= static_cast<int>(Code::Internal); ++code) {
    const JobFailed failed{kRef, {static_cast<Code>(code), ""}, "", {}, ""};
    EXPECT_EQ(std::get<JobFailed>(codec.decode(encode(codec, Message(failed))).value()).error.code,
              failed.error.code);
  }
  for (int stop = 0; stop <= static_cast<int>(StopReason::Filtered); ++stop) {
    const JobResult result{kRef, "", {}, static_cast<StopReason>(stop), "", "", 0};
    EXPECT_EQ(std::get<JobResult>(codec.decode(encode(codec, Message(result))).value()).stop, result.stop);
  }
}

TEST(Codec, AnAbsentWaitStaysAbsent) {
  Codec codec;
  const Message failed = JobFailed{kRef, {Code::Quota, "used up"}, "", {}, ""};
  EXPECT_EQ(std::get<JobFailed>(codec.decode(encode(codec, failed)).value()).error.retry_after, std::nullopt);
}

TEST(Codec, MendsTextThatIsNotUtf8) {
  Codec codec;
  const Message chunk = Chunk{kRef, 0, "caf\xC3 \xFF!", false};
  const auto back = codec.decode(encode(codec, chunk));
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(std::get<Chunk>(*back).text, text::sanitize("caf\xC3 \xFF!"));
}

TEST(Codec, CutsDescriptionsBetweenCodePoints) {
  Codec codec;
  std::string detail(kMaxDetail - 1, 'x');
  detail += "é tail";
  const Message failed = JobFailed{kRef, {Code::Rejected, detail}, "", {}, std::string(1000, 'r')};
  const auto back = codec.decode(encode(codec, failed));
  ASSERT_TRUE(back) << back.error().detail;
  const auto& got = std::get<JobFailed>(*back);
  EXPECT_LE(got.error.detail.size(), kMaxDetail);
  EXPECT_TRUE(text::is_valid_utf8(got.error.detail));
  EXPECT_THAT(got.error.detail, testing::StartsWith(detail.substr(0, kMaxDetail - 1)));
  EXPECT_EQ(got.request_id.size(), kMaxLabel);
}

struct Broken {
  Message message;
  const char* why;
};

std::vector<Broken> broken_messages() {
  Job no_turns = samples::job();
  no_turns.turns.clear();
  Job ends_with_answer = samples::job();
  ends_with_answer.turns.push_back({Speaker::Assistant, "?"});
  Job no_model = samples::job();
  no_model.model.clear();
  Job bad_attachment = samples::job();
  bad_attachment.turns.back().attachments[0].sha256 = "ABC";
  Job many_attachments = samples::job();
  many_attachments.turns.back().attachments.assign(kMaxAttachments + 1, {kSha, 1, "", ""});
  return {{Accept{{"", 1}}, "job_id"},
          {Accept{{std::string(65, 'j'), 1}}, "job_id"},
          {Accept{{"two words", 1}}, "job_id"},
          {Accept{{"line\nbreak", 1}}, "job_id"},
          {Accept{{"j", 0}}, "attempt"},
          {Chunk{{"", 1}, 0, "x", false}, "job_id"},
          {Cancel{{"j", 0}}, "attempt"},
          {Beat{{{"j", 0}}}, "attempt"},
          {Beat{std::vector<JobRef>(kMaxRefs + 1, kRef)}, "more than"},
          {Hello{Role::Worker, "", "claude", {}, "", 1, {}}, "worker_id"},
          {Hello{Role::Worker, "w", "", {}, "", 1, {}}, "provider"},
          {Hello{Role::Worker, "w", "claude", {}, "", 0, {}}, "protocol"},
          {Hello{Role::Worker, "w", "claude", std::vector<std::string>(kMaxModels + 1, "m"), "", 1, {}},
           "models"},
          {Welcome{"", 1, {}, {}}, "gateway_id"},
          {BlobGet{std::string(64, 'A'), 0}, "sha256"},
          {BlobGet{std::string(63, 'a'), 0}, "sha256"},
          {BlobPart{kSha, 0, std::string(kBlobPart + 1, 'x'), false, false}, "256 KiB"},
          {no_turns, "turns is empty"},
          {ends_with_answer, "isn't the user's"},
          {no_model, "model"},
          {bad_attachment, "sha256"},
          {many_attachments, "attachments"}};
}

TEST(Codec, DoesNotSendWhatThePeerMustRefuse) {
  Codec codec;
  for (const Broken& broken : broken_messages()) {
    const auto staged = codec.stage(broken.message);
    ASSERT_FALSE(staged) << broken.why;
    EXPECT_EQ(staged.error().code, Code::Internal);
    EXPECT_THAT(staged.error().detail, HasSubstr(broken.why));
  }
}

/// Frames by hand, as a peer without our checks could send them.
std::string field(int number, const std::string& bytes) {
  std::string out;
  const int tag = number << 3 | 2;
  if (tag >= 0x80) out += static_cast<char>((tag & 0x7F) | 0x80);
  out += static_cast<char>(tag >= 0x80 ? tag >> 7 : tag);
  std::size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7)
    out += static_cast<char>((size & 0x7F) | 0x80);
  out += static_cast<char>(size);
  return out + bytes;
}
const std::string kVersion1("\x08\x01", 2);

TEST(Codec, RefusesWhatAStrangePeerSends) {
  Codec codec;
  const std::string ref = field(1, "j") + std::string("\x10\x01", 2);
  const struct {
    std::string body;
    const char* why;
  } cases[] = {
      {"", "no body"},
      {field(19, "x"), "no body"},                              // a message of a later version
      {field(13, ""), "accept: job_id"},                        // no job
      {field(13, field(1, field(1, "j"))), "accept: attempt"},  // attempt 0
      {field(13, field(1, field(1, std::string(65, 'j')))), "job_id"},
      {field(14, field(1, ref) + field(3, "\xFF")), "isn't a katana.v1.Envelope"},  // text isn't UTF-8
      {field(10, field(2, "w") + field(3, "claude")), "role"},
      {field(17, field(1, "zz")), "sha256"},
      {field(31, field(2, ref) + field(5, "m")), "turns is empty"},
      {field(31, field(2, ref) + field(5, "m") + field(7, field(2, "t"))), "isn't the user's"},
      {field(16, field(1, ref) + field(3, std::string(kMaxDetail + 1, 'd'))), "detail"},
      {field(15, field(1, ref) + field(5, std::string(kMaxLabel + 1, 'm'))), "model"},
      {field(34, field(1, kSha) + field(3, std::string(kBlobPart + 1, 'd'))), "256 KiB"},
  };
  for (const auto& c : cases) {
    const auto back = codec.decode(kVersion1 + c.body);
    ASSERT_FALSE(back) << c.why;
    EXPECT_EQ(back.error().code, Code::Malformed);
    EXPECT_THAT(back.error().detail, HasSubstr(c.why));
  }
}

TEST(Codec, UnknownValuesOfOpenEnumsAreOther) {
  Codec codec;
  const std::string ref = field(1, "j") + std::string("\x10\x01", 2);
  const auto result =
      codec.decode(kVersion1 + field(15, field(1, ref) + std::string("\x20\x63", 2)));  // stop = 99
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(std::get<JobResult>(*result).stop, StopReason::Other);
  const auto failed =
      codec.decode(kVersion1 + field(16, field(1, ref) + std::string("\x10\x63", 2)));  // code = 99
  ASSERT_TRUE(failed) << failed.error().detail;
  EXPECT_EQ(std::get<JobFailed>(*failed).error.code, Code::Internal);
}

TEST(Codec, AHugeWaitIsCapped) {
  Codec codec;
  const std::string ref = field(1, "j") + std::string("\x10\x01", 2);
  const std::string most("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);  // retry_after_ms = 2^64 - 1
  const auto failed = codec.decode(kVersion1 + field(16, field(1, ref) + most));
  ASSERT_TRUE(failed) << failed.error().detail;
  EXPECT_EQ(std::get<JobFailed>(*failed).error.retry_after, Millis{366LL * 86'400'000});
}

TEST(Codec, HoldsFramesToTheirLimit) {
  Codec codec;
  const Message big = Chunk{kRef, 0, std::string(kMaxFrame, 'x'), false};
  const auto staged = codec.stage(big);
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().code, Code::Rejected);
  EXPECT_THAT(staged.error().detail, HasSubstr("over the limit"));

  const auto back = codec.decode(std::string(kMaxFrame + 1, '\0'));
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().detail, HasSubstr("16 MiB"));

  const std::string whole(kMaxFrame - 100, 'x');
  const auto most = codec.decode(encode(codec, Message(Chunk{kRef, 0, whole, false})));
  ASSERT_TRUE(most) << most.error().detail;
  EXPECT_EQ(std::get<Chunk>(*most).text, whole);
}

TEST(Codec, RandomDamageNeverCrashes) {
  Codec codec;
  std::mt19937 random(20240607);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::vector<std::string> frames;
  for (const Message& message : samples::messages())
    frames.push_back(encode(codec, message));
  int refused = 0;
  int taken = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string frame = frames[below(frames.size())];
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      switch (below(4)) {
        case 0:
          frame[below(frame.size())] = static_cast<char>(random());
          break;
        case 1:
          frame.insert(below(frame.size()), 1 + below(3), static_cast<char>(random()));
          break;
        case 2:
          frame.resize(1 + below(frame.size()));
          break;
        default:
          frame += frames[below(frames.size())];
          break;
      }
    }
    const auto back = codec.decode(frame);
    if (!back) {
      ++refused;
      EXPECT_EQ(back.error().code, Code::Malformed);
      continue;
    }
    ++taken;  // whatever was taken can be said again
    EXPECT_TRUE(codec.stage(*back)) << codec.stage(*back).error().detail;
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(taken, 100);
}

TEST(HeartbeatCodec, ComesBackAsItWent) {
  Codec codec;
  const std::string frame = encode(codec, samples::heartbeat());
  const auto back = codec.decode_heartbeat(frame);
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(encode(codec, *back), frame);
  EXPECT_EQ(back->component, "gateway");
  EXPECT_EQ(back->state, ServiceState::Draining);
  EXPECT_EQ(to_unix_ms(back->sent_at), 1'790'000'000'123);
  EXPECT_EQ(back->oldest_wait_ms, 350u);
  EXPECT_EQ(back->since_poll_ms, 1'200u);
  EXPECT_EQ(back->pending_updates, 7u);
  EXPECT_EQ(back->pending_readings, 3u);
  EXPECT_EQ(back->requests, 40u);
  EXPECT_EQ(back->failed_requests, 2u);
  EXPECT_EQ(back->open_questions, 9u);
  EXPECT_EQ(back->questions_at_work, 7u);
  EXPECT_EQ(back->disk_free_bytes, 5ULL << 30);
  EXPECT_EQ(back->disk_total_bytes, 9ULL << 30);
  EXPECT_EQ(back->certificate_endpoint, "https://provider.example:443");
  EXPECT_EQ(to_unix_ms(back->certificate_expires), 1'800'000'000'000);
  EXPECT_FALSE(back->healthy);
  EXPECT_EQ(back->metrics, "katana_up 1\n");
}

TEST(HeartbeatCodec, WhatAnOlderPeerDoesNotSayIsUnsaid) {
  Codec codec;
  Heartbeat old = samples::heartbeat();
  const std::string whole = encode(codec, old);
  old.since_poll_ms = old.pending_updates = old.pending_readings = old.requests = old.failed_requests = 0;
  old.disk_free_bytes = old.disk_total_bytes = 0;
  old.open_questions = old.questions_at_work = 0;
  old.certificate_endpoint.clear();
  old.certificate_expires = {};
  const std::string frame = encode(codec, old);  // proto3: what is zero or empty isn't on the wire
  ASSERT_LT(frame.size(), whole.size());
  const auto back = codec.decode_heartbeat(frame);
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->disk_total_bytes, 0u);
  EXPECT_TRUE(back->certificate_endpoint.empty());
}

TEST(HeartbeatCodec, AnEndpointThatIsTooLongIsCut) {
  Codec codec;
  Heartbeat beat = samples::heartbeat();
  beat.certificate_endpoint = "https://" + std::string(400, 'x');
  const auto back = codec.decode_heartbeat(encode(codec, beat));
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->certificate_endpoint.size(), 256u);
}

TEST(HeartbeatCodec, CutShortOrDamagedIsAnErrorOrValid) {
  Codec codec;
  const std::string frame = encode(codec, samples::heartbeat());
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const auto back = codec.decode_heartbeat(frame.substr(0, size));
    if (!back) {
      EXPECT_EQ(back.error().code, Code::Malformed);
    }
  }
  EXPECT_FALSE(codec.decode_heartbeat(""));
  std::mt19937 random(7);
  for (int i = 0; i < 5'000; ++i) {
    std::string damaged = frame;
    for (int n = 0; n < 3; ++n)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    const auto back = codec.decode_heartbeat(damaged);
    if (back) {
      EXPECT_TRUE(codec.stage(*back)) << codec.stage(*back).error().detail;
    }
  }
}

TEST(HeartbeatCodec, LosesItsMetricsBeforeItIsLost) {
  Codec codec;
  Heartbeat beat = samples::heartbeat();
  beat.metrics.assign(kMaxHeartbeat, 'm');
  const auto back = codec.decode_heartbeat(encode(codec, beat));
  ASSERT_TRUE(back) << back.error().detail;
  EXPECT_EQ(back->metrics, "");
  EXPECT_EQ(back->component, "gateway");
}

TEST(HeartbeatCodec, RefusesImpossibleTimes) {
  Codec codec;
  Heartbeat beat = samples::heartbeat();
  beat.sent_at = Wall{};
  const std::string good = encode(codec, beat);  // sent_at is 0: left out on the wire
  const std::string far("\x50\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
  const auto back = codec.decode_heartbeat(good + far);
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().detail, HasSubstr("sent_at_unix_ms"));
}

}  // namespace
}  // namespace katana::bus
