#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/bus/message.hpp"
#include "common/core/result.hpp"
#include "workers/provider.hpp"

/// What both providers ask of a conversation, and how files travel in it.
namespace katana::workers {

/// The turns as a provider takes them: those without content dropped, neighbours of one speaker joined, the
/// user's first and last. Rejected when nothing is left to answer.
Result<std::vector<bus::Turn>> tidy(const std::vector<bus::Turn>& turns);

/// The bytes of an attachment, which were pulled before.
Result<std::string_view> bytes_of(const bus::Attachment& attachment, const Blobs& blobs);

bool is_image(std::string_view type);  ///< of the kinds that both providers read
bool is_pdf(std::string_view type);
bool is_text(std::string_view type);

/// A text file as a part of the prompt, under its name.
std::string inline_text(const bus::Attachment& attachment, std::string_view bytes);

std::string base64(std::string_view bytes);
std::string data_url(std::string_view type, std::string_view bytes);

/// `base` and `path` with one slash between.
std::string join_url(std::string_view base, std::string_view path);

}  // namespace katana::workers
