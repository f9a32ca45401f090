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

/// Members of `body` that are not among `known`, or of another kind.
Objection read_fields(Json body, const Field* known, std::size_t count);
/// A cap on the answer's length, as `name`d.
Objection read_cap(Json body, std::string_view name, std::int64_t least, Ask& ask);
/// `temperature` and `top_p`.
Objection read_sampling(Json body);
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
