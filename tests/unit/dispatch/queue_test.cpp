#include "gateway/dispatch/queue.hpp"

#include <gtest/gtest.h>

namespace katana::gateway {
namespace {

const ChatKey kAnna{1, 0};
const ChatKey kBert{2, 0};

TEST(FairQueue, AThousandInOneChatHoldUpNobodyElse) {
  FairQueue q;
  for (int i = 0; i < 1000; ++i)
    q.push(kAnna, i, "claude");
  q.push(kBert, 5000, "claude");
  const auto first = q.pop("claude");
  const auto second = q.pop("claude");
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 5000);
  EXPECT_FALSE(q.pop("claude")) << "one answer at a time in a conversation";
  EXPECT_EQ(q.waiting(), 999u);
}

TEST(FairQueue, AThousandTopicsOfOneChatAreOneChat) {
  FairQueue q;
  for (int i = 0; i < 1000; ++i)
    q.push({3, i}, i, "claude");
  q.push(kBert, 5000, "claude");
  EXPECT_EQ(q.pop("claude"), 0);
  EXPECT_EQ(q.pop("claude"), 5000);
  EXPECT_EQ(q.pop("claude"), 1) << "its topics go on in turn, side by side";
  q.put_back({3, 1}, 1, "claude");
  q.push(kAnna, 6000, "claude");
  EXPECT_EQ(q.pop("claude"), 1) << "what was put back is first again";
  EXPECT_TRUE(q.remove({3, 2}, 2));
  EXPECT_EQ(q.pop("claude"), 6000);
  EXPECT_EQ(q.pop("claude"), 3);
}

TEST(FairQueue, KeepsTheOrderOfAConversationAcrossProviders) {
  FairQueue q;
  q.push(kAnna, 1, "claude");
  q.push(kAnna, 2, "openai");
  EXPECT_FALSE(q.pop("openai")) << "the first question is still to be answered";
  EXPECT_EQ(q.pop("claude"), 1);
  EXPECT_FALSE(q.pop("openai"));
  q.release(kAnna);
  EXPECT_EQ(q.pop("openai"), 2);
  q.release(kAnna);
  EXPECT_FALSE(q.any("openai"));
}

TEST(FairQueue, WhatIsPutBackIsFirstAgain) {
  FairQueue q;
  q.push(kAnna, 1, "claude");
  q.push(kAnna, 2, "claude");
  q.push(kBert, 3, "claude");
  EXPECT_EQ(q.pop("claude"), 1);
  q.put_back(kAnna, 1, "openai");
  EXPECT_EQ(q.pop("claude"), 3);
  EXPECT_EQ(q.pop("openai"), 1);
  q.release(kAnna);
  EXPECT_EQ(q.pop("claude"), 2);
}

TEST(FairQueue, RemovesOnlyWhatWaits) {
  FairQueue q;
  q.push(kAnna, 1, "claude");
  q.push(kAnna, 2, "openai");
  EXPECT_TRUE(q.remove(kAnna, 1));
  EXPECT_EQ(q.pop("openai"), 2) << "its conversation stands in the other line now";
  EXPECT_FALSE(q.remove(kAnna, 2));
  EXPECT_FALSE(q.remove(kBert, 9));
  EXPECT_EQ(q.waiting(), 0u);
}

TEST(FairQueue, AStopMovesNobodyToTheFront) {
  FairQueue q;
  q.push(kAnna, 1, "claude");
  q.push(kBert, 2, "claude");
  q.push(kBert, 3, "claude");
  q.push(kAnna, 4, "claude");
  EXPECT_TRUE(q.remove(kBert, 2));
  EXPECT_EQ(q.pop("claude"), 1);
  EXPECT_EQ(q.pop("claude"), 3);
}

TEST(FairQueue, AGroupThatMovedGoesOnUnderItsNewId) {
  FairQueue q;
  q.push({-5, 0}, 1, "claude");
  EXPECT_EQ(q.pop("claude"), 1);
  q.push({-5, 0}, 2, "openai");
  q.push({-5, 7}, 3, "claude");
  q.push({-100, 0}, 4, "claude");
  q.move_chat(-5, -100);
  EXPECT_EQ(q.waiting(), 3u);
  EXPECT_EQ(q.pop("claude"), 3);
  EXPECT_FALSE(q.pop("claude"))
      << "its first answer is under way, its second question is before the new ones";
  q.release({-100, 0});
  EXPECT_EQ(q.pop("openai"), 2);
  q.release({-100, 0});
  EXPECT_EQ(q.pop("claude"), 4);
  EXPECT_FALSE(q.any("claude") || q.any("openai"));
}

TEST(FairQueue, AnOccupiedConversationWaits) {
  FairQueue q;
  q.occupy(kAnna);
  q.push(kAnna, 1, "claude");
  EXPECT_FALSE(q.pop("claude"));
  q.release(kAnna);
  EXPECT_EQ(q.pop("claude"), 1);
}

}  // namespace
}  // namespace katana::gateway
