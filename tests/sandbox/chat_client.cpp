// The chat in a terminal: keys in, what the chat shows out, over the control API.
#include "chat_client.hpp"

#include <charconv>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <stdexcept>

#include <sys/stat.h>
#include <unistd.h>

#include "chat_view.hpp"
#include "client.hpp"
#include "line_editor.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace sandbox {
namespace {

constexpr Nanos kPatience = 10 * kSecond;
constexpr Nanos kLastAnswer = 60 * kSecond;  ///< how long a pipe that has ended waits for the answer

struct Place {
  std::string host;
  int port = 0;
};

Place read_url(std::string_view url) {
  Place place;
  std::string_view rest = url;
  const bool http = take_prefix(rest, "http://");
  while (!rest.empty() && rest.back() == '/')
    rest.remove_suffix(1);
  const auto colon = rest.rfind(':');
  if (http && colon != std::string_view::npos) {
    const char* end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data() + colon + 1, end, place.port);
    place.host = rest.substr(0, colon);
    if (error == std::errc() && stop == end && place.port > 0 && place.port < 65536) return place;
  }
  throw std::runtime_error("--url: expected http://HOST:PORT, such as http://127.0.0.1:8700");
}

/// The person's side of the chat: owns keys, screen and both connections, and ends the loop when it is over.
class Chat : public Caller, public Deferred, public Watched {
 public:
  Chat(Loop& loop, const ChatOptions& options, Place place, Terminal& terminal)
      : loop_(loop),
        options_(options),
        place_(std::move(place)),
        terminal_(terminal),
        look_{terminal.columns(), terminal.interactive() && std::getenv("NO_COLOR") == nullptr},
        view_(look_, user(), terminal.interactive()),
        change_(loop, [this] { loop_.defer(this); }),
        read_file_(loop, [this] { on_ready(0); }),
        give_up_(loop, [this] { loop_.stop(); }) {}
  ~Chat() override {
    loop_.undefer(this);
    if (poster_ != nullptr) poster_->leave();
  }

  void start();
  void resize() {
    view_.resize(look_.columns = terminal_.columns());
    loop_.defer(this);
  }
  int status() const { return status_; }

  void on_ready(std::uint32_t events) override;
  void on_turn_end() override;
  void on_reply(ClientConnection& connection, int status, std::string_view body) override;
  void on_lost(ClientConnection& connection, const char* why) override;

 private:
  std::int64_t user() const { return options_.user > 0 ? options_.user : options_.chat; }
  void heard(std::string_view event);
  void gone();
  void submit(std::string_view line);
  void post(std::string_view path, const std::string& members);
  void request(std::string whole);
  void send_next();
  void ended();
  std::vector<std::string> prompt() const;

  Loop& loop_;
  const ChatOptions& options_;
  Place place_;
  Terminal& terminal_;
  Look look_;
  ChatView view_;
  LineEditor keys_;
  simdjson::dom::parser parser_;
  std::unique_ptr<EventStream> events_;
  std::unique_ptr<ClientConnection> poster_;
  std::deque<std::string> waiting_;  ///< requests; the first is under way when `poster_` waits
  Timer change_;
  Timer read_file_;
  Timer give_up_;
  bool watching_keys_ = false;
  bool asked_ = false;
  bool input_over_ = false;
  int status_ = 0;
};

void Chat::start() {
  const int fd = connect_loopback(place_.host, place_.port);
  if (fd < 0) return gone();
  events_ = std::make_unique<EventStream>(
      loop_, fd, [this](std::string_view event) { heard(event); }, [this] { gone(); });
  const std::string host = " HTTP/1.1\r\nHost: " + place_.host + "\r\n\r\n";
  const std::string chat = std::to_string(options_.chat);
  events_->send("GET /control/events?chat=" + chat + host);
  request("GET /control/chat?id=" + chat + host);
}

void Chat::heard(std::string_view event) {
  Json json;
  if (parser_.parse(event).get(json) != simdjson::SUCCESS) return;
  view_.hear(json, now_ns());
  loop_.defer(this);
}

void Chat::gone() {
  status_ = 1;
  loop_.stop();
}

/// Keys, or what comes through a pipe; a file can't be watched and is read turn by turn instead.
void Chat::on_ready(std::uint32_t) {
  char bytes[4096];
  const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0 && !keys_.text().empty() && !terminal_.interactive()) submit(keys_.text());
  for (const std::string& line : keys_.feed({bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0))})) {
    if (input_over_) return;
    submit(line);
  }
  if (count <= 0 || keys_.ended()) return ended();
  if (!watching_keys_) read_file_.in(0);
  loop_.defer(this);
}

/// A terminal's end is the chat's. What a pipe asked is answered first.
void Chat::ended() {
  if (input_over_) return;
  input_over_ = true;
  if (watching_keys_) loop_.forget(STDIN_FILENO);
  if (terminal_.interactive() || !asked_) return loop_.stop();
  give_up_.in(kLastAnswer);
}

void Chat::submit(std::string_view line) {
  while (!line.empty() && line.back() == ' ')
    line.remove_suffix(1);
  if (line.empty()) return;
  view_.note({}, now_ns());
  if (line == "/quit") {
    asked_ = false;
    return ended();
  }
  std::size_t number = 0;
  if (line.front() == '!' &&
      std::from_chars(line.data() + 1, line.data() + line.size(), number).ptr == line.data() + line.size()) {
    const auto press = view_.button(number);
    if (!press) return view_.note("There is no such button.", now_ns());
    return post("press",
                ",\"message_id\":" + std::to_string(press->message_id) + ",\"data\":" + to_json(press->data));
  }
  asked_ = true;
  post("say", ",\"first_name\":" + to_json(options_.name) + ",\"text\":" + to_json(line));
}

void Chat::post(std::string_view path, const std::string& members) {
  const std::string body =
      "{\"chat\":" + std::to_string(options_.chat) + ",\"user\":" + std::to_string(user()) + members + "}";
  request("POST /control/" + std::string(path) + " HTTP/1.1\r\nHost: " + place_.host +
          "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body);
}

void Chat::request(std::string whole) {
  waiting_.push_back(std::move(whole));
  if (poster_ == nullptr || !poster_->waiting()) send_next();
}

void Chat::send_next() {
  if (waiting_.empty()) return;
  if (poster_ == nullptr) {
    const int fd = connect_loopback(place_.host, place_.port);
    if (fd < 0) return gone();
    poster_ = std::make_unique<ClientConnection>(loop_, fd, *this);
  }
  poster_->request(waiting_.front(), kPatience);
}

/// Of the chat as it stands, of something said, or of a button pressed. A chat that nobody opened yet is 404.
void Chat::on_reply(ClientConnection&, int status, std::string_view body) {
  waiting_.pop_front();
  Json json;
  JsonArray messages;
  Json list;
  if (parser_.parse(body).get(json) == simdjson::SUCCESS) {
    if (status == 400) view_.note("Refused: " + std::string(text_of(json, "error")), now_ns());
    if (member(json, "messages", list) && list.get(messages) == simdjson::SUCCESS) {
      for (const Json message : messages) {
        if (!flag_of(message, "deleted")) view_.put(message, now_ns());
      }
    }
  }
  send_next();
  loop_.defer(this);
  if (!watching_keys_ && !read_file_.armed() && !input_over_) {
    struct stat what {};
    fstat(STDIN_FILENO, &what);
    watching_keys_ = S_ISFIFO(what.st_mode) || S_ISSOCK(what.st_mode) || isatty(STDIN_FILENO) == 1;
    if (watching_keys_) {
      loop_.watch(STDIN_FILENO, 1, this);
    } else {
      read_file_.in(0);
    }
  }
}

void Chat::on_lost(ClientConnection&, const char*) {
  loop_.bury(std::move(poster_));
  if (!waiting_.empty()) gone();
}

std::vector<std::string> Chat::prompt() const {
  // Of a long line, the end is seen: where it is being typed.
  std::vector<std::string> lines = ansi_lines(keys_.text(), {}, {look_.columns - 3, false});
  return {styled("›", kBold, look_) + " " + lines.back()};
}

void Chat::on_turn_end() {
  const Nanos now = now_ns();
  const std::vector<std::string> settled = view_.take_settled(now);
  std::vector<std::string> live;
  if (terminal_.interactive()) {
    live = view_.live_lines(now);
    live.push_back(prompt().front());
  }
  terminal_.draw(settled, std::move(live));
  if (input_over_ && waiting_.empty() && view_.answered()) loop_.stop();
  if (const auto next = view_.next_change(now)) {
    change_.at(*next);
  } else {
    change_.cancel();
  }
}

}  // namespace

int run_chat(const ChatOptions& options) {
  const Place place = read_url(options.url);
  std::signal(SIGPIPE, SIG_IGN);
  Loop loop;
  int status = 0;
  std::string why = "the sandbox at " + options.url + " is not there (any more)";
  std::unique_ptr<Companion> companion;
  if (options.companion > 0) {
    companion = std::make_unique<Companion>(loop, options.companion, [&] {
      status = 1;
      why = "process " + std::to_string(options.companion) + " has ended";
      loop.stop();
    });
  }
  {
    Terminal terminal;
    Chat chat(loop, options, place, terminal);
    const Signals signals(loop, {SIGINT, SIGTERM, SIGHUP, SIGWINCH}, [&](int signal) {
      if (signal == SIGWINCH) return chat.resize();
      loop.stop();
    });
    chat.start();
    loop.run();
    status = std::max(status, chat.status());
  }
  if (status != 0) std::cerr << "katana-sandbox: " << why << '\n';
  return status;
}

}  // namespace sandbox
