#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "feed.hpp"
#include "http_server.hpp"
#include "load.hpp"
#include "provider.hpp"
#include "smtp.hpp"
#include "telegram.hpp"

namespace sandbox {

/// What the control API reaches.
struct World {
  Loop& loop;
  Record& record;
  Telegram& telegram;
  Providers& providers;
  SmtpServer& smtp;
  Load& load;
  HttpServer* http = nullptr;
};

/// The control API under /control/: acts for the people in the chats, scripts providers and faults, reads
/// everything back.
class Control {
 public:
  explicit Control(World world);
  void handle(HttpConnection& connection, const Request& request);

 private:
  struct Act {
    HttpConnection& connection;
    const Request& request;
    Json body;  ///< of a POST
    Bot* bot;
  };
  using Route = void (Control::*)(Act&);

  // People: control_people.cpp
  void say(Act& act);
  void edit(Act& act);
  void press(Act& act);
  void stop_draft(Act& act);
  void raw_update(Act& act);
  void change_member(Act& act);
  void change_chat(Act& act);
  void become_supergroup(Act& act, Chat& group, std::int64_t to);
  void change_bot(Act& act);
  bool find_place(Act& act, Chat*& chat);

  // Scripts and switches: control.cpp
  void add_script(Act& act);
  void set_defaults(Act& act);
  void add_fault(Act& act);
  void set_smtp(Act& act);
  void set_switches(Act& act);
  void reset(Act& act);
  void start_load(Act& act);
  void show_load(Act& act);

  // Reading back: control_read.cpp
  void read_record(Act& act);
  void read_chat(Act& act);
  void read_chats(Act& act);
  void read_mail(Act& act);
  void read_stats(Act& act);
  void read_bots(Act& act);
  void events(Act& act);
  void wait(Act& act);

  static void fail(Act& act, std::string_view why);
  static void done(Act& act, std::string_view members = {});

  World world_;
  Feed feed_;
  simdjson::dom::parser parser_;
  std::unordered_map<std::string_view, Route> gets_;
  std::unordered_map<std::string_view, Route> posts_;
};

}  // namespace sandbox
