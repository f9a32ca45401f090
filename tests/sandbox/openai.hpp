#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "provider.hpp"

namespace sandbox {

// What both of OpenAI's APIs share.

std::string openai_headers(const Ask& ask);
std::string openai_error(int status, std::string_view type, std::string_view message, std::string_view code);

/// A refusal: which parameter, and why. `why` empty: nothing is wrong.
struct Objection {
  std::string why;
  std::string param;
  std::string code;
};

/// The members of `body` that are not among `known`.
Objection unknown_parameter(Json body, const std::string_view* known, std::size_t count);
/// The types that a message's parts may have: the two APIs name them differently, and an assistant's aren't a
/// user's.
struct PartTypes {
  std::vector<std::string_view> asking;
  std::vector<std::string_view> answering;
};
/// Text of a message's content: a string, or an array of parts.
Objection read_parts(Json message, const PartTypes& types, const std::string& where, std::string& text,
                     std::int64_t& attachments);

}  // namespace sandbox
