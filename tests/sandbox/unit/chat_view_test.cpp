#include "chat_view.hpp"

#include <gtest/gtest.h>

namespace sandbox {
namespace {

using Lines = std::vector<std::string>;

/// A view that hears events as the sandbox tells them, at times that the test sets.
class View : public ::testing::Test {
 protected:
  static std::string message(int id, const std::string& text, bool bot = true, const std::string& more = {}) {
    return "\"message\":{\"message_id\":" + std::to_string(id) + ",\"from\":{\"id\":" + (bot ? "1" : "1000") +
           ",\"is_bot\":" + (bot ? "true" : "false") + ",\"first_name\":\"N\"},\"text\":\"" + text + "\"" +
           more + "}";
  }
  void hear(ChatView& view, const std::string& kind, const std::string& members) {
    Json event;
    ASSERT_EQ(parser_.parse("{\"event\":\"" + kind + "\"," + members + "}").get(event), simdjson::SUCCESS);
    view.hear(event, now_);
  }
  simdjson::dom::parser parser_;
  Nanos now_ = kSecond;
  ChatView screen_{Look{40, false}, 1000, true};
  ChatView pipe_{Look{}, 1000, false};
};

TEST_F(View, AnAnswerGrowsInPlace) {
  hear(screen_, "said", message(1, "hi", false));
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"› hi", ""}));
  hear(screen_, "sent", message(2, "…"));
  EXPECT_EQ(screen_.take_settled(now_), (Lines{"› hi", ""}));
  hear(screen_, "edited", message(2, "Hel"));
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"Hel", ""}));
  hear(screen_, "edited", message(2, "Hello"));
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"Hello", ""}));
  now_ += 60 * kSecond;
  EXPECT_EQ(screen_.take_settled(now_), Lines{});  // the last one may always change
}

TEST_F(View, TheLastAnswerStaysInPlaceWhileAnotherQuestionIsAsked) {
  hear(screen_, "sent", message(1, "Hel"));
  hear(screen_, "said", message(2, "and?", false));
  EXPECT_EQ(screen_.take_settled(now_), Lines{});
  hear(screen_, "edited", message(1, "Hello"));
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"Hello", "", "› and?", ""}));
  EXPECT_EQ(screen_.next_change(now_), now_ + ChatView::kQuiet);
  now_ += ChatView::kQuiet;
  EXPECT_EQ(screen_.take_settled(now_), (Lines{"Hello", ""}));
}

TEST_F(View, APipeGetsWhatIsSettled) {
  hear(pipe_, "said", message(1, "hi", false));
  EXPECT_EQ(pipe_.take_settled(now_), (Lines{"› hi", ""}));
  EXPECT_FALSE(pipe_.answered());
  hear(pipe_, "sent", message(2, "…"));
  EXPECT_EQ(pipe_.take_settled(now_), Lines{});
  now_ += ChatView::kQuiet - 1;
  hear(pipe_, "edited", message(2, "Hello"));
  EXPECT_EQ(pipe_.take_settled(now_ + 1), Lines{});
  EXPECT_FALSE(pipe_.answered());
  now_ += ChatView::kQuiet;
  EXPECT_EQ(pipe_.take_settled(now_), (Lines{"Hello", ""}));
  EXPECT_TRUE(pipe_.answered());
  EXPECT_EQ(pipe_.take_settled(now_), Lines{});
}

TEST_F(View, WhatChangesAfterItWasSettledIsShownAgain) {
  hear(pipe_, "sent", message(1, "a"));
  now_ += ChatView::kQuiet;
  EXPECT_EQ(pipe_.take_settled(now_), (Lines{"a", ""}));
  hear(pipe_, "edited", message(1, "a"));  // no other text
  EXPECT_EQ(pipe_.live_lines(now_), Lines{});
  hear(pipe_, "edited", message(1, "b"));
  now_ += ChatView::kQuiet;
  EXPECT_EQ(pipe_.take_settled(now_), (Lines{"(changed)", "b", ""}));
}

TEST_F(View, ButtonsAreNumberedAndPressed) {
  const std::string keys =
      ",\"reply_markup\":{\"inline_keyboard\":[[{\"text\":\"Yes\",\"callback_data\":\"y\"},"
      "{\"text\":\"Read\",\"url\":\"https://x.y\"}],[{\"text\":\"No\",\"callback_data\":\"n\"}]]}";
  EXPECT_FALSE(screen_.button(1).has_value());
  hear(screen_, "sent", message(7, "Well?", true, keys));
  hear(screen_, "sent", message(8, "later"));
  EXPECT_EQ(screen_.live_lines(now_),
            (Lines{"Well?", "!1 Yes", "Read: https://x.y", "!3 No", "", "later", ""}));
  ASSERT_TRUE(screen_.button(3).has_value());
  EXPECT_EQ(screen_.button(3)->message_id, 7);
  EXPECT_EQ(screen_.button(3)->data, "n");
  EXPECT_FALSE(screen_.button(2).has_value());
  EXPECT_FALSE(screen_.button(0).has_value());
  EXPECT_FALSE(screen_.button(4).has_value());
  hear(screen_, "deleted", "\"message_id\":7");
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"later", ""}));
  EXPECT_FALSE(screen_.button(1).has_value());
}

TEST_F(View, ADraftIsShownUntilItsMessageComes) {
  hear(screen_, "draft", "\"draft_id\":5,\"text\":\"Hel\"");
  hear(screen_, "draft", "\"draft_id\":5,\"text\":\"Hello\"");
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"Hello", ""}));
  hear(screen_, "sent", message(3, "Hello you"));
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"Hello you", ""}));
}

TEST_F(View, ADraftThatNobodyRenewsFades) {
  hear(screen_, "draft", "\"draft_id\":5,\"text\":\"Hel\"");
  EXPECT_EQ(screen_.next_change(now_), now_ + ChatView::kDraftStays);
  now_ += ChatView::kDraftStays;
  EXPECT_EQ(screen_.take_settled(now_), Lines{});
  EXPECT_EQ(screen_.live_lines(now_), Lines{});
  EXPECT_FALSE(screen_.next_change(now_).has_value());
}

TEST_F(View, NotesFade) {
  hear(screen_, "action", "\"action\":\"typing\"");
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"typing …"}));
  EXPECT_EQ(screen_.next_change(now_), now_ + ChatView::kNoteStays);
  EXPECT_EQ(screen_.live_lines(now_ + ChatView::kNoteStays), Lines{});
}

TEST_F(View, OthersAreNamedAndFilesTold) {
  hear(screen_, "said",
       "\"message\":{\"message_id\":1,\"from\":{\"id\":5,\"is_bot\":false,\"first_name\":\"Ada\"},"
       "\"document\":{\"file_name\":\"a.txt\"},\"caption\":\"look\"}");
  EXPECT_EQ(screen_.live_lines(now_), (Lines{"› Ada", "  [file a.txt]", "  look", ""}));
}

TEST_F(View, ItRemembersABoundedNumber) {
  for (int id = 1; id <= 1000; ++id) {
    hear(screen_, "sent", message(id, "x"));
    now_ += ChatView::kQuiet;
    screen_.take_settled(now_);
  }
  hear(screen_, "edited", message(1, "x"));  // long forgotten: shown as if it were new
  EXPECT_EQ(screen_.live_lines(now_).size(), 4u);
}

}  // namespace
}  // namespace sandbox
