#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http_server.hpp"
#include "json.hpp"
#include "script.hpp"

namespace sandbox {

/// What a question and its answer may hold. The real limits differ from model to model, and are of this size.
constexpr std::int64_t kContextTokens = 200'000;
constexpr std::int64_t kMaxOutputTokens = 128'000;

/// A request for an answer, as far as answering needs it.
struct Ask {
  std::string id;  ///< request id
  std::string model;
  std::string last_user_text;
  bool stream = false;
  bool include_usage = false;
  std::int64_t max_tokens = 0;  ///< 0: unlimited
  std::int64_t input_tokens = 0;
  std::int64_t user_turns = 0;
  bool has_system = false;
  std::int64_t attachments = 0;
  bool thinks = false;
};

struct Usage {
  std::int64_t input = 0;
  std::int64_t output = 0;
};

/// One API's way of writing an answer. Every function appends whole events (or the whole body) to `out`.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::string_view provider() const = 0;
  virtual std::string headers(const Ask& ask) const = 0;
  virtual void start(const Ask& ask, std::string& out) = 0;
  virtual void thinking(std::string_view text, std::string& out) = 0;
  virtual void delta(std::string_view piece, std::string& out) = 0;
  virtual void ping(std::string& out) = 0;
  virtual void finish(const Ask& ask, std::string_view text, std::string_view stop_reason, Usage usage,
                      std::string& out) = 0;
  virtual void break_off(std::string_view type, std::string_view message, std::string& out) = 0;
  virtual void whole(const Ask& ask, std::string_view text, std::string_view thinking,
                     std::string_view stop_reason, Usage usage, std::string& out) = 0;
  /// The body of an error reply.
  virtual std::string error(const Ask& ask, int status, std::string_view type, std::string_view message,
                            std::string_view code) const = 0;
};

/// Told of the load generator's own answers.
class AnswerProbe {
 public:
  virtual ~AnswerProbe() = default;
  virtual void on_asked(std::string_view end_mark, Nanos when) = 0;
  virtual void on_last_byte(std::string_view end_mark, Nanos when) = 0;
};

/// One answer being written, on its own clock. Owned by `Providers`; ends by itself or when its client
/// leaves.
class Generation;

/// Anthropic and OpenAI: checks requests, picks scripts, runs the answers.
class Providers {
 public:
  Providers(Loop& loop, Record& record);
  ~Providers();

  void messages(HttpConnection& connection, const Request& request);
  void count_tokens(HttpConnection& connection, const Request& request);
  void responses(HttpConnection& connection, const Request& request);
  void chat(HttpConnection& connection, const Request& request);
  void models(HttpConnection& connection, const Request& request, bool anthropic);
  void transcriptions(HttpConnection& connection, const Request& request);
  void images(HttpConnection& connection, const Request& request);

  Scripts& scripts() { return scripts_; }
  void measure(AnswerProbe* probe) { probe_ = probe; }
  /// Keys that are refused with 401; empty: every key is good.
  std::vector<std::string> keys;
  bool any_model = false;  ///< unknown models are served too, as local servers do
  std::size_t running() const { return running_.size(); }
  std::uint64_t answers() const { return answers_; }
  std::size_t most_at_once() const { return most_; }
  void reset();

 private:
  friend class Generation;
  /// Runs the script that fits, through this dialect.
  void answer(HttpConnection& connection, const Request& request, Ask ask, std::unique_ptr<Dialect> dialect);
  bool refuse(HttpConnection& connection, const Ask& ask, const Dialect& dialect, int status,
              std::string_view type, std::string_view message, std::string_view code = {},
              std::string_view param = {});
  /// The JSON body of a request whose key is good; otherwise the reply is out and false comes back.
  bool admit(HttpConnection& connection, const Request& request, Ask& ask, const Dialect& dialect,
             std::string_view call, Json& body);
  bool good_key(std::string_view key) const;
  std::string next_id(std::string_view prefix);

  Loop& loop_;
  Record& record_;
  Scripts scripts_;
  simdjson::dom::parser parser_;
  std::unordered_map<Generation*, std::unique_ptr<Generation>> running_;
  AnswerProbe* probe_ = nullptr;
  std::uint64_t answers_ = 0;
  std::uint64_t ids_ = 0;
  std::size_t most_ = 0;
};

std::unique_ptr<Dialect> messages_dialect(std::string id);
std::unique_ptr<Dialect> responses_dialect(std::string id);
std::unique_ptr<Dialect> chat_dialect(std::string id, bool include_usage);

/// An answer for people: repeats what was asked, shows Markdown, and that the talk so far is known.
std::string demo_answer(const Ask& ask);

constexpr std::string_view kAnthropicModels[] = {
    "claude-fable-5-2", "claude-mythos-5-2", "claude-haiku-5-5",  "claude-sonnet-5-5", "claude-opus-5-5",
    "claude-fable-5-1", "claude-mythos-5-1", "claude-fable-5",    "claude-mythos-5",   "claude-sonnet-5",
    "claude-opus-5",    "claude-opus-4-8",   "claude-sonnet-4-6", "claude-haiku-4-5"};
constexpr std::string_view kOpenAiModels[] = {"gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-terra",
                                              "gpt-6-luna",  "gpt-5.5",     "gpt-5.4-mini"};

}  // namespace sandbox
