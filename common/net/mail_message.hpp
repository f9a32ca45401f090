#pragma once

#include <string>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/result.hpp"

namespace katana::net {

/// What a mail of ours says. Ids are without angle brackets (`incident-k7m2xq9t@host`); a follow-up names the
/// first mail in `in_reply_to`, so that a reader sees the two as one conversation.
struct MailMessage {
  std::string from;       ///< address alone
  std::string from_name;  ///< may be empty
  std::vector<std::string> to;
  std::string subject;
  std::string text;
  std::string html;  ///< empty: a plain message
  std::string message_id;
  std::string in_reply_to;              ///< may be empty
  std::vector<std::string> references;  ///< oldest first; may be empty
  Wall date{};
};

/// The message as RFC 5322 has it, CRLF lines, 7 bits: fit for `Mail::message`. A line break or control
/// character in any header field, or an address that isn't one, is refused (Rejected) and named. Pure.
Result<std::string> compose(const MailMessage& message);

}  // namespace katana::net
