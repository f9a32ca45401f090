// katana-bare-bot: the smallest bot there can be, as the limit to compare with.
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>
#include <sys/resource.h>

#include "bare_bot.hpp"

int main(int argc, char** argv) {
  int port = 0;
  std::string token;
  CLI::App app{"A bot that only polls, asks and sends: how fast can it get?"};
  app.set_version_flag("--version", "katana-bare-bot " KATANA_VERSION);
  app.add_option("--port", port, "HTTP port of the sandbox on 127.0.0.1")->required();
  app.add_option("--token", token, "the bot's token")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return error.get_exit_code() == 0 ? 0 : 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sandbox::Loop loop;
  sandbox::BareBot bot(loop, "127.0.0.1", port, token);
  bot.start();
  loop.run();
}
