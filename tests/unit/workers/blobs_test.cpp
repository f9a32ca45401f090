#include "workers/blobs.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include <gmock/gmock.h>

#include "tests/unit/workers/world.hpp"

namespace katana::workers {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// SHA-256 of "abc" and of a million times "a" (FIPS 180-2).
const std::string kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string kMillion = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
const std::string kMillionBytes(1'000'000, 'a');

bus::Attachment file(const std::string& sha, std::uint64_t size) {
  return {.sha256 = sha, .size = size, .type = "text/plain", .name = "f.txt"};
}

class BlobsTest : public World {
 protected:
  void SetUp() override { joined(); }
  bus::Job job_with(const std::string& id, std::vector<bus::Attachment> files) {
    bus::Job out = job(id);
    out.turns[0].attachments = std::move(files);
    return out;
  }
  [[nodiscard]] std::vector<bus::BlobGet> asked() const { return clients[0]->all<bus::BlobGet>(); }
  [[nodiscard]] std::vector<bus::JobFailed> failures() const { return clients[0]->all<bus::JobFailed>(); }
};

TEST_F(BlobsTest, AFileIsPulledInPartsThenTheProviderIsAsked) {
  say(job_with("j1", {file(kMillion, kMillionBytes.size())}));
  EXPECT_THAT(http.requests, IsEmpty());
  for (std::size_t offset = 0; offset < kMillionBytes.size(); offset += bus::kBlobPart) {
    ASSERT_EQ(asked().back().offset, offset);
    const std::string part = kMillionBytes.substr(offset, bus::kBlobPart);
    say(bus::BlobPart{kMillion, offset, part, offset + part.size() == kMillionBytes.size()});
  }
  ASSERT_THAT(http.requests, SizeIs(1));
  EXPECT_NE(http.requests[0]->sent.body.find("[f.txt]"), std::string::npos);
  EXPECT_GT(http.requests[0]->sent.body.size(), kMillionBytes.size());
}

TEST_F(BlobsTest, AtMostFourAreAskedForAtATime) {
  std::vector<bus::Attachment> files;
  for (char c = '0'; c < '7'; ++c)
    files.push_back(file(std::string(64, c), 3));
  say(job_with("j1", files));
  EXPECT_THAT(asked(), SizeIs(4));
}

TEST_F(BlobsTest, JobsShareAFile) {
  say(job_with("j1", {file(kAbc, 3)}));
  say(job_with("j2", {file(kAbc, 3)}));
  EXPECT_THAT(asked(), SizeIs(1));
  say(bus::BlobPart{kAbc, 0, "abc", true});
  EXPECT_THAT(http.requests, SizeIs(2));
  say(job_with("j3", {file(kAbc, 3)}));
  EXPECT_THAT(asked(), SizeIs(1));  // held by the others
  EXPECT_THAT(http.requests, SizeIs(3));
}

TEST_F(BlobsTest, WrongBytesAreRefused) {
  say(job_with("j1", {file(kAbc, 3)}));
  say(bus::BlobPart{kAbc, 0, "abd", true});
  EXPECT_EQ(failures().at(0).error.code, Code::Malformed);
  say(job_with("j2", {file(kAbc, 3)}));
  say(bus::BlobPart{kAbc, 0, "abcd", true});
  EXPECT_EQ(failures().back().job.job_id, "j2");
  say(job_with("j3", {file(kAbc, 3)}));
  say(bus::BlobPart{kAbc, 0, "ab", true});
  EXPECT_EQ(failures().back().job.job_id, "j3");
  say(job_with("j4", {file(kAbc, 3)}));
  say(bus::BlobPart{kAbc, 0, "", false});
  EXPECT_EQ(failures().back().job.job_id, "j4");
  say(job_with("j5", {file(kAbc, BlobPuller::kMaxBlob + 1)}));
  EXPECT_EQ(failures().back().error.code, Code::Rejected);
  EXPECT_THAT(http.requests, IsEmpty());
}

TEST_F(BlobsTest, AMissingFileFailsItsJob) {
  say(job_with("j1", {file(kAbc, 3)}));
  say(bus::BlobPart{.sha256 = kAbc, .missing = true});
  EXPECT_EQ(failures().at(0).error.code, Code::Rejected);
  EXPECT_NE(failures()[0].error.detail.find("attachment"), std::string::npos);
}

TEST_F(BlobsTest, WhatIsNotAnsweredIsAskedAgainThenGivenUp) {
  say(job_with("j1", {file(kAbc, 3)}));
  pass(Millis{5'600});
  EXPECT_THAT(asked(), SizeIs(2));
  pass(Millis{60'000});
  ASSERT_FALSE(failures().empty());
  EXPECT_EQ(failures()[0].error.code, Code::Timeout);
}

TEST_F(BlobsTest, PartsOutOfOrderAndUnaskedAreIgnored) {
  say(bus::BlobPart{kAbc, 0, "abc", true});
  say(job_with("j1", {file(kAbc, 3)}));
  say(bus::BlobPart{kAbc, 1, "bc", true});
  EXPECT_THAT(http.requests, IsEmpty());
  say(bus::BlobPart{kAbc, 0, "abc", true});
  EXPECT_THAT(http.requests, SizeIs(1));
}

/// What can befall a message on the bus. The gateway remembers nothing of a BlobGet, so whether it or its
/// BlobPart is befallen looks the same from here.
enum class Fate { Dropped, Late, Doubled, Swapped };

class BlobsUnderFire : public BlobsTest, public testing::WithParamInterface<std::tuple<Fate, std::size_t>> {};

INSTANTIATE_TEST_SUITE_P(Fates, BlobsUnderFire,
                         testing::Combine(testing::Values(Fate::Dropped, Fate::Late, Fate::Doubled,
                                                          Fate::Swapped),
                                          testing::Range<std::size_t>(0, 5)));

TEST_P(BlobsUnderFire, FilesComeWholeAndTheProviderIsAskedOnce) {
  const auto [fate, nth] = GetParam();
  constexpr int kLate = 14;  // rounds: it was asked for again, and that was answered
  const std::map<std::string, std::string> content{{kMillion, kMillionBytes}, {kAbc, "abc"}};
  std::vector<std::pair<int, bus::BlobPart>> on_its_way;  // by the round in which it arrives
  std::size_t answered = 0;
  say(job_with("j1", {file(kMillion, kMillionBytes.size()), file(kAbc, 3)}));
  for (int round = 0; round < 100; ++round) {
    for (const auto gets = asked(); answered < gets.size(); ++answered) {
      const bus::BlobGet& get = gets[answered];
      const std::string& whole = content.at(get.sha256);
      const std::string data = whole.substr(get.offset, bus::kBlobPart);
      const bus::BlobPart part{get.sha256, get.offset, data, get.offset + data.size() == whole.size()};
      const bool hit = answered == nth;
      if (hit && fate == Fate::Dropped) continue;
      const int wait = !hit ? 0 : fate == Fate::Late ? kLate : fate == Fate::Swapped ? 1 : 0;
      on_its_way.emplace_back(round + wait, part);
      if (hit && fate == Fate::Doubled) on_its_way.emplace_back(round, part);
    }
    std::stable_sort(on_its_way.begin(), on_its_way.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    while (!on_its_way.empty() && on_its_way.front().first <= round) {
      const bus::BlobPart part = on_its_way.front().second;
      on_its_way.erase(on_its_way.begin());
      say(part);
    }
    pass(Millis{500});
  }
  EXPECT_THAT(on_its_way, IsEmpty());
  EXPECT_THAT(failures(), IsEmpty());
  ASSERT_THAT(http.requests, SizeIs(1));
  const std::string& body = http.requests[0]->sent.body;
  EXPECT_NE(body.find(kMillionBytes), std::string::npos);
  EXPECT_NE(body.find("abc"), std::string::npos);
}

TEST_F(BlobsTest, CancelEndsThePulling) {
  say(job_with("j1", {file(kAbc, 3)}));
  say(bus::Cancel{{"j1", 1}});
  EXPECT_EQ(failures().at(0).error.code, Code::Cancelled);
  say(bus::BlobPart{kAbc, 0, "abc", true});
  EXPECT_THAT(http.requests, IsEmpty());
}

TEST_F(BlobsTest, AfterAReconnectionItIsAskedOfTheNewOne) {
  say(job_with("j1", {file(kAbc, 3)}));
  pass(Millis{3'500}, true);
  EXPECT_THAT(asked(), IsEmpty());  // a fresh connection
  say(bus::Welcome{.gateway_id = "g2", .adopted = {{"j1", 1}}});
  pass(Millis{500});
  ASSERT_THAT(asked(), SizeIs(1));
  say(bus::BlobPart{kAbc, 0, "abc", true});
  ASSERT_THAT(http.requests, SizeIs(1));
  // Told the text so far, none, it can follow what comes: chunks from there on, without a gap.
  answer(0, "words");
  const auto chunks = clients[0]->all<bus::Chunk>();
  ASSERT_THAT(chunks, SizeIs(1));
  EXPECT_TRUE(chunks[0].whole);
}

}  // namespace
}  // namespace katana::workers
