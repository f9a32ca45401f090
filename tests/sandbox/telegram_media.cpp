// Files: sending documents, photos and voice, and fetching what people sent.
#include "telegram.hpp"

namespace sandbox {
namespace {

constexpr std::int64_t kMaxDownload = 20LL << 20;
constexpr std::size_t kMaxUpload = 50U << 20;

std::string file_members(const File& file, std::string_view name, std::size_t size) {
  return "{\"file_id\":" + to_json(file.id) + ",\"file_unique_id\":" + to_json("u" + file.id) +
         ",\"file_name\":" + to_json(name) + ",\"mime_type\":" + to_json(file.type) +
         ",\"file_size\":" + std::to_string(size) + "}";
}

/// Sends what the parameter `kind` holds: an upload, or the id of a file that is known.
void send_media(Call& call, std::string_view kind) {
  Formatted caption;
  SendOptions options;
  const Param* param = call.params.find(kind);
  if (param == nullptr) return call.bad("there is no " + std::string(kind) + " in the request");
  if (param->kind != Param::Kind::File && take_prefix(const_cast<Param*>(param)->text, "attach://"))
    param = call.params.find(param->text);
  if (param == nullptr) return call.bad("there is no " + std::string(kind) + " in the request");
  if (param->text.size() > kMaxUpload) return call.fail(413, "Request Entity Too Large");
  if (!read_formatted(call, "caption", "caption_entities", 1024, caption) || !read_options(call, options))
    return;
  const File* file =
      param->kind == Param::Kind::File
          ? &call.telegram.keep_file(std::string(param->text), param->file_name, param->content_type)
          : call.telegram.find_file(param->text);
  if (file == nullptr) return call.bad("wrong file identifier/HTTP URL specified");
  const std::string_view name = param->file_name.empty() ? std::string_view("file") : param->file_name;
  Message& message = call.telegram.add_message(call.bot, *call.chat);
  message.text = std::move(caption.text);
  message.entities = entities_json(caption.entities);
  message.thread = options.thread;
  message.reply_to = options.reply_to;
  message.markup = std::move(options.markup);
  const std::string members = file_members(*file, name, file->bytes.size());
  if (kind == "photo") {
    message.media =
        ",\"photo\":[{\"file_id\":" + to_json(file->id) + ",\"file_unique_id\":" + to_json("u" + file->id) +
        ",\"width\":640,\"height\":480,\"file_size\":" + std::to_string(file->bytes.size()) + "}]";
  } else {
    message.media = ",\"" + std::string(kind) + "\":" + members;
  }
  const std::string json = call.telegram.message_json(call.bot, *call.chat, message);
  call.telegram.show(call.bot, *call.chat, "sent", ",\"message\":" + json);
  call.ok(json);
}

void get_file(Call& call) {
  const std::string_view id = call.params.text("file_id");
  const File* file = call.telegram.find_file(id);
  if (id.empty() || file == nullptr) return call.bad("invalid file_id");
  if (static_cast<std::int64_t>(file->bytes.size()) > kMaxDownload) return call.bad("file is too big");
  call.ok("{\"file_id\":" + to_json(file->id) + ",\"file_unique_id\":" + to_json("u" + file->id) +
          ",\"file_size\":" + std::to_string(file->bytes.size()) + ",\"file_path\":" + to_json(file->path) +
          "}");
}

}  // namespace

void add_media_methods(MethodTable& table) {
  const auto fields = [](std::string_view kind) {
    return sending_fields({kind, "caption", "caption_entities", "thumbnail", "disable_content_type_detection",
                           "has_spoiler", "show_caption_above_media", "duration"});
  };
  table["senddocument"] = {[](Call& call) { send_media(call, "document"); }, true, true, fields("document")};
  table["sendphoto"] = {[](Call& call) { send_media(call, "photo"); }, true, true, fields("photo")};
  table["sendvoice"] = {[](Call& call) { send_media(call, "voice"); }, true, true, fields("voice")};
  table["getfile"] = {get_file, false, false, {"file_id"}};
}

}  // namespace sandbox
