#include "control.hpp"

namespace sandbox {

Control::Control(World world) : world_(world), feed_(world.loop, world.telegram) {
  gets_ = {
      {"record", &Control::read_record}, {"chat", &Control::read_chat},   {"chats", &Control::read_chats},
      {"mail", &Control::read_mail},     {"stats", &Control::read_stats}, {"bots", &Control::read_bots},
      {"events", &Control::events},      {"wait", &Control::wait},        {"load", &Control::show_load}};
  posts_ = {{"say", &Control::say},
            {"edit", &Control::edit},
            {"press", &Control::press},
            {"stop", &Control::stop_draft},
            {"update", &Control::raw_update},
            {"member", &Control::change_member},
            {"chat", &Control::change_chat},
            {"bot", &Control::change_bot},
            {"script", &Control::add_script},
            {"defaults", &Control::set_defaults},
            {"fault", &Control::add_fault},
            {"smtp", &Control::set_smtp},
            {"switch", &Control::set_switches},
            {"reset", &Control::reset},
            {"load", &Control::start_load}};
}

void Control::fail(Act& act, std::string_view why) {
  act.connection.json(400, "{\"ok\":false,\"error\":" + to_json(why) + "}");
}

void Control::done(Act& act, std::string_view members) {
  act.connection.json(200, "{\"ok\":true" + std::string(members) + "}");
}

void Control::handle(HttpConnection& connection, const Request& request) {
  std::string_view name = request.path;
  take_prefix(name, "/control/");
  const bool post = request.method == "POST";
  const auto& routes = post ? posts_ : gets_;
  const auto route = routes.find(name);
  if (route == routes.end())
    return connection.json(404, R"({"ok":false,"error":"no such control; see API.md"})");
  Act act{connection, request, Json(), nullptr};
  std::string bot = query_value(request.query, "bot");
  if (post) {
    const std::string_view body = request.body.empty() ? std::string_view("{}") : request.body;
    JsonObject fields;
    if (parser_.parse(body.data(), body.size()).get(act.body) != simdjson::SUCCESS ||
        act.body.get(fields) != simdjson::SUCCESS) {
      return fail(act, "the body is no JSON object");
    }
    Json value;
    if (member(act.body, "bot", value)) {
      const std::int64_t id = number_of(act.body, "bot");
      bot = id != 0 ? std::to_string(id) : std::string(text_of(act.body, "bot"));
    }
  }
  act.bot = world_.telegram.find_bot(bot);
  if (act.bot == nullptr) return fail(act, "no such bot: " + bot);
  (this->*route->second)(act);
}

void Control::add_script(Act& act) {
  Script script = world_.providers.scripts().defaults();
  if (const std::string error = read_script(act.body, script); !error.empty()) return fail(act, error);
  world_.providers.scripts().add(std::move(script));
  done(act, ",\"waiting\":" + std::to_string(world_.providers.scripts().size()));
}

void Control::set_defaults(Act& act) {
  Script script = world_.providers.scripts().defaults();
  if (const std::string error = read_script(act.body, script); !error.empty()) return fail(act, error);
  world_.providers.scripts().defaults() = std::move(script);
  done(act);
}

void Control::add_fault(Act& act) {
  if (flag_of(act.body, "clear")) {
    world_.telegram.faults().clear();
    return done(act);
  }
  if (const std::string error = world_.telegram.faults().add(act.body); !error.empty())
    return fail(act, error);
  done(act, ",\"waiting\":" + std::to_string(world_.telegram.faults().size()));
}

void Control::set_smtp(Act& act) {
  if (const std::string error = world_.smtp.configure(act.body); !error.empty()) return fail(act, error);
  done(act);
}

void Control::set_switches(Act& act) {
  world_.telegram.limits = flag_of(act.body, "limits", world_.telegram.limits);
  world_.telegram.default_chats = flag_of(act.body, "default_chats", world_.telegram.default_chats);
  world_.record.turn(flag_of(act.body, "record", world_.record.on()));
  world_.providers.any_model = flag_of(act.body, "any_model", world_.providers.any_model);
  world_.http->clock_ahead = number_of(act.body, "clock_ahead", world_.http->clock_ahead);
  Json value;
  JsonArray keys;
  if (member(act.body, "keys", value) && value.get(keys) == simdjson::SUCCESS) {
    world_.providers.keys.clear();
    for (const Json key : keys) {
      std::string_view text;
      if (key.get(text) == simdjson::SUCCESS) world_.providers.keys.emplace_back(text);
    }
  }
  done(act);
}

void Control::reset(Act& act) {
  world_.load.stop();
  world_.telegram.reset();
  world_.telegram.limits = false;
  world_.http->clock_ahead = 0;
  world_.providers.reset();
  world_.smtp.reset();
  world_.record.clear();
  world_.record.turn(true);
  done(act);
}

void Control::start_load(Act& act) {
  LoadShape shape;
  std::string error = read_load(act.body, shape);
  if (!error.empty()) return fail(act, error);
  if (!flag_of(act.body, "wait")) {
    error = world_.load.start(shape, nullptr);
    return error.empty() ? done(act) : fail(act, error);
  }
  // The reply is the report. A client that left simply doesn't get it.
  struct Waiting : Pending {
    HttpConnection* connection = nullptr;
    void connection_gone() override { connection = nullptr; }
  };
  auto waiting = std::make_shared<Waiting>();
  waiting->connection = &act.connection;
  act.connection.hold(waiting.get());
  error = world_.load.start(shape, [waiting](const std::string& report) {
    if (waiting->connection != nullptr) waiting->connection->json(200, report);
  });
  if (!error.empty()) {
    act.connection.hold(nullptr);
    fail(act, error);
  }
}

void Control::show_load(Act& act) {
  act.connection.json(200, world_.load.report());
}

}  // namespace sandbox
