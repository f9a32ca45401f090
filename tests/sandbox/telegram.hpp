#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fault.hpp"
#include "flood.hpp"
#include "http_server.hpp"
#include "params.hpp"
#include "text.hpp"

namespace sandbox {

class Telegram;
class WebhookClient;
struct Bot;

struct Edit {
  Nanos at = 0;
  std::string text;
  std::string entities;
  std::string markup;
};

/// A message as people in the chat see it now, and how it came to be so.
struct Message {
  std::int64_t id = 0;
  std::int64_t from = 0;  ///< user id; the bot's own for its messages
  bool by_bot = false;
  bool deleted = false;
  std::int64_t date = 0;
  std::int64_t edit_date = 0;
  Nanos at = 0;
  Nanos changed = 0;
  std::int64_t thread = 0;
  std::int64_t reply_to = 0;
  std::string text;      ///< or the caption, when there is media
  std::string entities;  ///< JSON array, or empty
  std::string markup;    ///< reply_markup as JSON, or empty
  std::string media;     ///< further members as JSON, each with its leading comma: `,"document":{…}`
  std::string rich;      ///< the source of a rich message, as it was sent
  std::string reactions;
  std::vector<Edit> edits;  ///< what it said before, oldest first, bounded
  std::uint32_t edit_count = 0;
};

struct User {
  std::int64_t id = 0;
  std::string first_name;
  std::string username;
  std::string language = "en";
  std::string json;
};

/// One chat of one bot. Message ids count up in each chat by itself, as in supergroups: nobody may take them
/// for unique.
struct Chat {
  enum class Kind { Private, Group, Supergroup, Channel };
  std::int64_t id = 0;
  Kind kind = Kind::Private;
  std::string title;
  std::string json;
  bool blocked = false;  ///< the user blocked the bot, or the group threw it out
  std::int64_t migrated_to = 0;
  std::int64_t next_message = 1;
  std::deque<Message> messages;  ///< ids without gaps, oldest dropped
  std::map<std::int64_t, std::string> drafts;

  bool is_group() const { return kind == Kind::Group || kind == Kind::Supergroup; }
  Message* find(std::int64_t message_id);
};

struct Update {
  std::int64_t id = 0;
  std::string kind;
  std::string json;
  std::int64_t chat = 0;
  bool handed_out = false;
};

struct File {
  std::string id;
  std::string path;
  std::string bytes;
  std::string type;
};

/// The getUpdates call that waits.
struct Poll : Pending {
  explicit Poll(Bot& owner) : bot(owner) {}
  void connection_gone() override { connection = nullptr; }
  Bot& bot;
  HttpConnection* connection = nullptr;
  std::int64_t offset = 0;
  std::int64_t limit = 100;
  std::unique_ptr<Timer> timer;
};

/// A bot: its identity, its queue of updates, its chats.
struct Bot : Deferred {
  Bot(Telegram& telegram, Loop& loop, std::string token);
  ~Bot() override;
  void on_turn_end() override;

  Telegram& telegram;
  Loop& loop;
  std::string token;
  std::int64_t id = 0;
  std::string name;
  std::string username;
  std::string json;
  bool reads_all_groups = false;
  bool joins_groups = true;
  bool revoked = false;

  std::deque<Update> queue;
  std::int64_t next_update = 0;
  std::int64_t last_offset = -1;
  Nanos last_poll = 0;
  Poll poll;
  std::set<std::string> allowed;  ///< empty: the default kinds
  std::uint64_t conflicts = 0;

  std::string webhook_url;
  std::string webhook_secret;
  std::int64_t webhook_connections = 40;
  std::unique_ptr<WebhookClient> webhook;

  std::unordered_map<std::int64_t, Chat> chats;
  std::map<std::string, std::string> commands;  ///< by scope and language
  Flood flood;
  std::uint64_t calls = 0;

  void describe();
};

/// Hears what people in the chats would see. `json` is one object.
class Onlooker {
 public:
  virtual ~Onlooker() = default;
  virtual void on_shown(const Bot& bot, std::int64_t chat, const std::string& json) = 0;
};

/// Measures from inside: told of every text that reaches a chat and of every update handed to the bot.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual void on_text(std::int64_t chat, std::int64_t message, std::string_view text) = 0;
  virtual void on_handed_out(std::int64_t chat) = 0;
};

struct Call;

/// Telegram and its people: bots, chats, users, files. One object; the control API acts for the people.
class Telegram {
 public:
  Telegram(Loop& loop, Record& record, std::uint64_t seed);
  ~Telegram();

  Bot& add_bot(const std::string& token);
  /// By id, username or token; empty: the first. nullptr: no such bot.
  Bot* find_bot(std::string_view which);
  const std::vector<std::unique_ptr<Bot>>& bots() const { return bots_; }

  /// `/bot<TOKEN>/<method>` and `/file/bot<TOKEN>/<path>`.
  void handle(HttpConnection& connection, const Request& request);

  // People's side.
  Chat& open_chat(Bot& bot, std::int64_t id, Chat::Kind kind, std::string_view title = {});
  Chat* find_chat(Bot& bot, std::int64_t id);
  User& user(std::int64_t id, std::string_view first_name = {}, std::string_view username = {});
  /// Adds a message of a user and delivers it as an update when the bot would get it. `media` as in Message.
  /// It was written `age` seconds ago.
  Message& say(Bot& bot, Chat& chat, User& from, Formatted text, std::string media, std::int64_t reply_to,
               std::int64_t thread, std::int64_t age = 0);
  bool edit_own(Bot& bot, Chat& chat, std::int64_t message, Formatted text);
  void push(Bot& bot, std::string_view kind, std::string_view payload, std::int64_t chat);
  File& keep_file(std::string bytes, std::string_view name, std::string_view type);

  std::string message_json(const Bot& bot, const Chat& chat, const Message& message,
                           bool with_reply = true) const;
  /// Also what was said before; for the control API.
  std::string history_json(const Bot& bot, const Chat& chat, const Message& message) const;
  void show(const Bot& bot, const Chat& chat, std::string_view what, const std::string& members);

  void reset();
  void watch(Onlooker* onlooker) { onlooker_ = onlooker; }
  void measure(Probe* probe) { probe_ = probe; }
  Probe* probe() const { return probe_; }
  Faults& faults() { return faults_; }
  bool limits = false;
  bool default_chats = false;  ///< a private chat that nobody opened exists anyway
  std::size_t keep_messages = 300;
  std::size_t keep_edits = 200;  ///< at least 2
  std::size_t history_bytes = 0;
  /// The history of edits is kept only up to a limit in all chats together.
  bool room_for_history(std::size_t bytes) const { return history_bytes + bytes < (256U << 20); }
  Loop& loop() { return loop_; }

  // For the methods.
  Message& add_message(Bot& bot, Chat& chat);
  void answer_poll(Bot& bot);
  void confirm_webhook(Bot& bot, std::int64_t update);
  User* find_user(std::int64_t id);
  File* find_file(std::string_view id);
  Record& record() { return record_; }
  /// Callback queries that were not yet answered: id -> chat.
  std::map<std::string, std::int64_t, std::less<>> callbacks;
  std::int64_t next_callback = 1;

 private:
  bool pass_faults(HttpConnection& connection, std::string_view method, std::int64_t chat);
  void run(Call& call, std::string_view method);
  void serve_file(HttpConnection& connection, std::string_view path);

  Loop& loop_;
  Record& record_;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<Bot>> bots_;
  std::unordered_map<std::string_view, Bot*> by_token_;
  std::unordered_map<std::int64_t, User> users_;
  std::deque<File> files_;
  std::size_t file_bytes_ = 0;
  std::size_t messages_kept_ = 0;
  Params params_;
  Faults faults_;
  Onlooker* onlooker_ = nullptr;
  Probe* probe_ = nullptr;
};

/// One Bot API call in hand.
struct Call {
  Telegram& telegram;
  Bot& bot;
  Params& params;
  HttpConnection& connection;
  const Request& request;
  Chat* chat = nullptr;

  void ok(std::string_view result);
  /// `description` whole; `parameters` a JSON object or empty.
  void fail(int code, std::string_view description, std::string_view parameters = {});
  void bad(std::string_view what) { fail(400, "Bad Request: " + std::string(what)); }
};

struct Method {
  void (*run)(Call&);
  bool needs_chat;
  bool counts;  ///< for flood control
  std::vector<std::string_view> fields;
};

const Method* find_method(std::string_view lowercase_name);

/// The key of a bot's commands when no scope is named.
constexpr std::string_view kDefaultScope = R"({"type":"default"})";

/// What the sending methods have in common.
struct SendOptions {
  std::int64_t thread = 0;
  std::int64_t reply_to = 0;
  std::string markup;
};
/// False: the call has been failed.
bool read_options(Call& call, SendOptions& options);
bool read_markup(Call& call, bool inline_only, std::string& markup);
/// Text or caption, with its parse mode or entities, checked as the real server checks it.
bool read_formatted(Call& call, std::string_view text, std::string_view entities, std::size_t limit,
                    Formatted& formatted);
/// The call's message_id, which must be the bot's own message; `verb` for the error text.
Message* own_message(Call& call, std::string_view verb);
/// Fields that every sending method knows.
std::vector<std::string_view> sending_fields(std::initializer_list<std::string_view> more);

// Groups of methods, each in its own file, that fill the table.
using MethodTable = std::unordered_map<std::string_view, Method>;
void add_update_methods(MethodTable& table);
void add_message_methods(MethodTable& table);
void add_media_methods(MethodTable& table);
void add_other_methods(MethodTable& table);

}  // namespace sandbox
