// katana-sandbox: a pretend Telegram, Anthropic, OpenAI and SMTP server in one process. README.md says how to
// use it.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chat_client.hpp"
#include "control.hpp"
#include "page.hpp"
#include "signals.hpp"
#include "tls.hpp"

namespace sandbox {
namespace {

struct Options {
  std::string http = "127.0.0.1:0";
  std::string https;
  std::string smtp = "127.0.0.1:0";
  std::string smtps;
  std::string ready_file;
  std::vector<std::string> tokens;
  std::uint64_t seed = 1;
  std::string tls_dir;
  int certificate_days = 90;
  std::string load;
  bool no_record = false;
  bool limits = false;
  bool any_chat = false;
  bool with_parent = false;
};

void write_by_rename(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::ofstream(fresh) << text;
  std::filesystem::rename(fresh, path);
}

/// By path, the commonest first.
void route(World& world, Control& control, HttpConnection& connection, const Request& request) {
  std::string_view path = request.path;
  if (path.substr(0, 4) == "/bot" || path.substr(0, 9) == "/file/bot")
    return world.telegram.handle(connection, request);
  if (path.substr(0, 9) == "/control/") return control.handle(connection, request);
  if (path == "/" || path == "/chat")
    return connection.reply(200, "text/html; charset=utf-8", kPage, "Cache-Control: no-store\r\n");
  bool anthropic = take_prefix(path, "/anthropic");
  if (!anthropic) take_prefix(path, "/openai");
  if (path == "/v1/messages") return world.providers.messages(connection, request);
  if (path == "/v1/messages/count_tokens") return world.providers.count_tokens(connection, request);
  if (path == "/v1/responses" || path == "/responses") return world.providers.responses(connection, request);
  if (path == "/v1/chat/completions" || path == "/chat/completions")
    return world.providers.chat(connection, request);
  if (path == "/v1/models") {
    anthropic = anthropic || request.has_header("anthropic-version");
    return world.providers.models(connection, request, anthropic);
  }
  if (path == "/v1/audio/transcriptions") return world.providers.transcriptions(connection, request);
  if (path == "/v1/images/generations") return world.providers.images(connection, request);
  connection.json(404, R"({"error":{"type":"not_found_error","message":"no such path in the sandbox"}})");
}

std::string ready_json(const Options& options, int http, int https, int smtp, int smtps,
                       const Telegram& telegram) {
  std::string tokens;
  for (const auto& bot : telegram.bots()) {
    if (!tokens.empty()) tokens += ',';
    tokens += to_json(bot->token);
  }
  const std::string host = options.http.substr(0, options.http.rfind(':'));
  return "{\"pid\":" + std::to_string(getpid()) + ",\"http\":" + std::to_string(http) +
         ",\"https\":" + std::to_string(https) + ",\"smtp\":" + std::to_string(smtp) +
         ",\"smtps\":" + std::to_string(smtps) + ",\"url\":\"http://" + host + ":" + std::to_string(http) +
         "\",\"tokens\":[" + tokens + "]}\n";
}

int run(const Options& options) {
  if (options.with_parent) prctl(PR_SET_PDEATHSIG, SIGTERM);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  Loop loop;
  const Signals stop(loop, {SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  const Tls tls(options.certificate_days);
  Record record(20'000, 64U << 20);
  record.turn(!options.no_record);
  Telegram telegram(loop, record, options.seed);
  for (const std::string& token : options.tokens)
    telegram.add_bot(token);
  if (options.tokens.empty()) telegram.add_bot("1000000001:SandboxSandboxSandboxSandboxSandbox");
  telegram.limits = options.limits;
  telegram.default_chats = options.any_chat;
  Providers providers(loop, record);
  SmtpServer smtp(loop, tls.context());
  Load load(loop, telegram, providers);
  World world{loop, record, telegram, providers, smtp, load, nullptr};
  std::unique_ptr<Control> control;
  HttpServer http(loop, record, [&](HttpConnection& connection, const Request& request) {
    route(world, *control, connection, request);
  });
  world.http = &http;
  load.errors = [&http] { return http.errors(); };
  control = std::make_unique<Control>(world);

  const int http_port = http.listen(options.http);
  const int https_port = options.https.empty() ? 0 : http.listen(options.https, tls.context());
  const int smtp_port = smtp.listen(options.smtp, false);
  const int smtps_port = options.smtps.empty() ? 0 : smtp.listen(options.smtps, true);
  if (!options.tls_dir.empty()) write_by_rename(options.tls_dir + "/ca.pem", tls.certificate());
  const std::string ready = ready_json(options, http_port, https_port, smtp_port, smtps_port, telegram);
  if (!options.ready_file.empty()) write_by_rename(options.ready_file, ready);
  if (options.load.empty()) {
    std::cout << ready << std::flush;
    loop.run();
    return 0;
  }
  LoadShape shape;
  read_load(options.load, shape);
  Timer look(loop, [&] {
    const Bot& bot = *telegram.bots().front();
    if (bot.poll.connection == nullptr && bot.webhook_url.empty()) return look.in(20 * kMilli);
    load.start(shape, [&loop](const std::string& report) {
      std::cout << report << std::endl;
      loop.stop();
    });
  });
  look.in(0);
  loop.run();
  return load.running() ? 1 : 0;
}

}  // namespace
}  // namespace sandbox

int main(int argc, char** argv) {
  sandbox::Options options;
  CLI::App app{
      "A pretend Telegram, Anthropic, OpenAI and SMTP server for trying out, testing and measuring Katana."};
  app.set_version_flag("--version", "katana-sandbox " KATANA_VERSION);
  app.add_option("--http", options.http, "address of everything that speaks HTTP; port 0: any free one")
      ->capture_default_str();
  app.add_option("--https", options.https, "the same with TLS");
  app.add_option("--smtp", options.smtp, "address for mail, with STARTTLS")->capture_default_str();
  app.add_option("--smtps", options.smtps, "address for mail with TLS from the first byte");
  app.add_option("--ready-file", options.ready_file,
                 "written, by rename, with the ports as JSON once everything listens");
  app.add_option("--token", options.tokens,
                 "token of a bot; may be given several times, the first is the users' bot")
      ->check([](const std::string& token) {
        const std::size_t colon = token.find_first_not_of("0123456789");
        const bool good = colon != 0 && colon != std::string::npos && token[colon] == ':' &&
                          colon + 1 < token.size() && token.find_first_of("/ ") == std::string::npos;
        return good ? std::string() : std::string("not a token of the form 123456:ABC");
      });
  app.add_option("--seed", options.seed, "where update ids and file ids begin")->capture_default_str();
  app.add_option("--tls-dir", options.tls_dir, "directory that gets ca.pem, the certificate to trust")
      ->check(CLI::ExistingDirectory);
  app.add_option("--certificate-days", options.certificate_days, "how long the certificate holds")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  app.add_option("--load", options.load,
                 "load generator: chats=200,messages=10000,tokens=1,token_ms=0,first_ms=0,patience_s=60; "
                 "starts with the first poll, prints a report, ends")
      ->check([](const std::string& text) {
        sandbox::LoadShape shape;
        return sandbox::read_load(text, shape);
      });
  app.add_flag("--no-record", options.no_record, "keep no record of requests");
  app.add_flag("--limits", options.limits, "flood limits as Telegram has them");
  app.add_flag("--any-chat", options.any_chat, "private chats exist without anybody having opened them");
  app.add_flag("--with-parent", options.with_parent, "end when the process that started it ends");
  sandbox::ChatOptions chat_options;
  CLI::App* chat = app.add_subcommand("chat", "talk with the bot of a running sandbox in this terminal");
  chat->add_option("--url", chat_options.url, "where the sandbox is, such as http://127.0.0.1:8700")
      ->required();
  chat->add_option("--chat", chat_options.chat, "which chat")->capture_default_str();
  chat->add_option("--user", chat_options.user, "who is talking (the chat's own id)");
  chat->add_option("--name", chat_options.name, "first name of who is talking")->capture_default_str();
  chat->add_option("--while", chat_options.companion, "process id: end when that process ends");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << "katana-sandbox: " << error.what() << " (--help lists the options)\n";
    return 2;
  }
  try {
    return chat->parsed() ? sandbox::run_chat(chat_options) : sandbox::run(options);
  } catch (const std::exception& error) {
    std::cerr << "katana-sandbox: " << error.what() << '\n';
    return 2;
  }
}
