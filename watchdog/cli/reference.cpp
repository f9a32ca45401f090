#include "watchdog/cli/reference.hpp"

#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace katana::watchdog {
namespace {

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<const CLI::Option*> options_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return !option->get_lnames().empty(); });
}

std::vector<const CLI::Option*> positionals_of(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::string long_name(const CLI::Option& option) {
  return "--" + option.get_lnames().front();
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_min() > 0;
}

bool takes_path(const CLI::Option& option) {
  return option.get_type_name() == "FILE" || option.get_type_name() == "DIR";
}

/// `from` becomes `to`, everywhere.
std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// A description within '…' of zsh, where `:`, `[` and `]` mean something.
std::string for_zsh(std::string text) {
  for (const std::string_view special : {"[", "]", ":"})
    text = replaced(std::move(text), special, "\\" + std::string(special));
  return replaced(std::move(text), "'", "'\\''");
}

/// A hyphen of an option must stay one, and a line must not begin with a control character.
std::string for_man(std::string text) {
  text = replaced(replaced(std::move(text), "\\", "\\e"), "-", "\\-");
  return text.starts_with('.') || text.starts_with('\'') ? "\\&" + text : text;
}

std::string zsh_option(const CLI::Option& option) {
  std::string out = " '" + long_name(option) + "[" + for_zsh(option.get_description()) + "]";
  if (takes_value(option))
    out += ":" + for_zsh(option.get_type_name()) + ":" + (takes_path(option) ? "_files" : "");
  return out + "'";
}

std::string man_option(const CLI::Option& option) {
  std::string out = ".TP\n.B " + for_man(long_name(option));
  if (takes_value(option)) out += " \\fI" + for_man(option.get_type_name()) + "\\fR";
  return out + "\n" + for_man(option.get_description()) + "\n";
}

std::string man_synopsis(const CLI::App& verb) {
  std::string out = ".SS " + for_man(verb.get_name());
  for (const auto* option : options_of(verb)) {
    if (option->get_lnames().front() == "help") continue;
    out += " [" + for_man(long_name(*option)) + (takes_value(*option) ? " " + option->get_type_name() : "") +
           "]";
  }
  for (const auto* word : positionals_of(verb)) {
    const std::string name = word->get_type_name() == "TEXT" ? word->get_name(true) : word->get_type_name();
    out += " " + (word->get_required() ? name : "[" + name + "]");
  }
  return out + "\n" + for_man(verb.get_description()) + ".\n";
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  std::string verbs;
  std::string cases;
  for (const auto* verb : verbs_of(app)) {
    verbs += " " + verb->get_name();
    std::string words;
    for (const auto* option : options_of(*verb))
      words += " " + long_name(*option);
    cases += "    " + verb->get_name() + ") words='" + words + "' ;;\n";
  }
  std::string own;
  for (const auto* option : options_of(app))
    own += " " + long_name(*option);
  return "# Completion for katana(1). Where nothing of it fits, files do.\n"
         "_katana() {\n"
         "  local verb= words i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case ${COMP_WORDS[i]} in\n"
         "      --env-file) ((i++)) ;;\n"
         "      -*) ;;\n"
         "      *) verb=${COMP_WORDS[i]}; break ;;\n"
         "    esac\n"
         "  done\n"
         "  case $verb in\n"
         "    '') words='" +
         verbs + own + "' ;;\n" + cases +
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
         "}\n"
         "complete -o default -F _katana katana\n";
}

std::string zsh_completion(const CLI::App& app) {
  std::string verbs;
  std::string cases;
  for (const auto* verb : verbs_of(app)) {
    verbs += "    '" + for_zsh(verb->get_name()) + ":" + for_zsh(verb->get_description()) + "'\n";
    cases += "        " + verb->get_name() + ") _arguments";
    for (const auto* option : options_of(*verb))
      cases += zsh_option(*option);
    for (const auto* word : positionals_of(*verb))
      cases += std::string(" ':") + for_zsh(word->get_description()) + ":" +
               (takes_path(*word) ? "_files" : "") + "'";
    cases += " ;;\n";
  }
  std::string own;
  for (const auto* option : options_of(app))
    own += zsh_option(*option);
  return "#compdef katana\n"
         "_katana() {\n"
         "  local -a verbs=(\n" +
         verbs +
         "  )\n"
         "  local state\n"
         "  _arguments -C" +
         own +
         " '1:verb:->verb' '*::argument:->argument'\n"
         "  case $state in\n"
         "    verb) _describe verb verbs ;;\n"
         "    argument)\n"
         "      case $words[1] in\n" +
         cases +
         "      esac\n"
         "      ;;\n"
         "  esac\n"
         "}\n"
         "_katana \"$@\"\n";
}

std::string manual(const CLI::App& app) {
  std::string out =
      ".TH KATANA 1 \"\" \"Katana " KATANA_VERSION
      "\" \"Katana\"\n"
      ".SH NAME\nkatana \\- runs and looks after a bot between Telegram, Claude and OpenAI\n"
      ".SH SYNOPSIS\n.B katana\n[\\fB\\-\\-env\\-file\\fR \\fIFILE\\fR]\n.I VERB\n[\\fIOPTION\\fR ...]\n"
      ".SH DESCRIPTION\n" +
      for_man(app.get_description()) +
      "\nIt asks the gateway and the watchdog over their sockets in the run directory (root, or a member of "
      "the group\n"
      ".BR katana ).\n.SH OPTIONS\n";
  for (const auto* option : options_of(app))
    out += man_option(*option);
  out += ".SH VERBS\n";
  for (const auto* verb : verbs_of(app)) {
    out += man_synopsis(*verb);
    for (const auto* option : options_of(*verb))
      if (option->get_lnames().front() != "help") out += man_option(*option);
  }
  out +=
      ".SH EXIT STATUS\n0: done. 1: failed, or critical. 2: not understood, or a bad setting.\n"
      ".SH FILES\n.TP\n.I /etc/katana/katana.env\nSettings, where there is no .env and no option names "
      "another file.\n"
      ".TP\n.I /etc/credstore/katana.NAME\nThe secret NAME, root's alone.\n"
      ".SH SEE ALSO\n.BR katana.env (5),\n.BR katana\\-gateway (8),\n.BR katana\\-claude (8),\n"
      ".BR katana\\-openai (8),\n.BR katana\\-watchdog (8)\n";
  return out;
}

}  // namespace katana::watchdog
