// The driver that every compiler can build: runs a target over its corpus, then over seeded mutations of it.
// The same seed gives the same inputs. It knows nothing of coverage; for long hunts there is libFuzzer
// (preset `fuzz`).

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/target.hpp"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace katana::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxInput = 64 << 10;
constexpr unsigned kHangSeconds = 20;

std::string_view current;  // what runs now, for the handlers below

/// Keeps the input that ended us. Only calls that a signal handler may make.
void keep_input() {
  static const char kFile[] = "crash-input";
  const int fd = ::open(kFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool kept = ::write(fd, current.data(), current.size()) == static_cast<ssize_t>(current.size());
  ::close(fd);
  static const char kSaid[] = "the input is kept in crash-input; run this program with it as its argument\n";
  if (kept) static_cast<void>(!::write(STDERR_FILENO, kSaid, sizeof kSaid - 1));
}

void on_signal(int signo) {
  keep_input();
  std::signal(signo, SIG_DFL);
  std::raise(signo);
}

void watch_for_crashes() {
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(&keep_input);
  for (const int signo : {SIGABRT, SIGALRM})
    std::signal(signo, &on_signal);
  if (__sanitizer_set_death_callback != nullptr) return;  // the sanitizer reports these itself
  for (const int signo : {SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(signo, &on_signal);
}

void run_once(std::string_view input) {
  current = input;
  run(input);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The quoted tokens of a dictionary in libFuzzer's format: `"token"` or `name="token"`, `\xNN` for a byte.
std::vector<std::string> read_dictionary(const fs::path& path) {
  std::vector<std::string> tokens;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto from = line.find('"');
    const auto to = line.rfind('"');
    if (line.empty() || line[0] == '#' || from == std::string::npos || from == to) continue;
    std::string token;
    for (std::size_t i = from + 1; i < to; ++i) {
      if (line[i] == '\\' && line[i + 1] == 'x') {
        token += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        if (line[i] == '\\') ++i;
        token += line[i];
      }
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// Makes new inputs of old ones. Owned by `main`.
class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<std::string> corpus, std::vector<std::string> tokens)
      : random_(seed), corpus_(std::move(corpus)), tokens_(std::move(tokens)) {
    if (corpus_.empty()) corpus_.emplace_back();
    if (tokens_.empty()) tokens_.emplace_back(1, '\0');
  }

  std::string next() {
    std::string input = one_of(corpus_);
    for (std::size_t changes = 1 + below(6); changes > 0; --changes)
      change(input);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random_() % n); }
  const std::string& one_of(const std::vector<std::string>& from) { return from[below(from.size())]; }

  void change(std::string& input) {
    static constexpr char kOdd[] = {'\0',   '\x01', '\x7F', '\x80', '\xBF', '\xC0', '\xED', '\xF4',
                                    '\xFF', '\n',   '\r',   '"',    '\\',   '{',    '[',    ' '};
    const std::size_t at = below(input.size() + 1);
    const std::size_t size = 1 + below(below(8) == 0 ? 512 : 8);
    switch (below(9)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < input.size()) input[at] = kOdd[below(sizeof kOdd)];
        break;
      case 2:
        input.insert(at, size, kOdd[below(sizeof kOdd)]);
        break;
      case 3:
        input.erase(at, size);
        break;
      case 4:
        input.resize(at);
        break;
      case 5:
        input.insert(at, input.substr(below(input.size() + 1), size));
        break;  // repeats a piece
      case 6:
        input.insert(at, one_of(tokens_));
        break;
      case 7:
        input.replace(at, std::min(size, input.size() - at), one_of(tokens_));
        break;
      default: {  // the head of one and the tail of another
        const std::string& other = one_of(corpus_);
        input = input.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> corpus_;
  std::vector<std::string> tokens_;
};

struct Options {
  std::uint64_t runs = 100'000;
  std::chrono::seconds limit{5};
  std::uint64_t seed = 1;
  std::vector<std::string> tokens;
  std::vector<std::string> corpus;
  bool mutate = false;  ///< a directory was given; single files are only run
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--runs" && more) {
      options.runs = std::stoull(argv[++i]);
    } else if (word == "--seconds" && more) {
      options.limit = std::chrono::seconds{std::stoll(argv[++i])};
    } else if (word == "--seed" && more) {
      options.seed = std::stoull(argv[++i]);
    } else if (word == "--dict" && more) {
      options.tokens = read_dictionary(argv[++i]);
    } else if (fs::is_directory(word)) {
      std::vector<fs::path> files{fs::directory_iterator(word), {}};
      std::sort(files.begin(), files.end());
      for (const fs::path& file : files)
        options.corpus.push_back(read_file(file));
      options.mutate = true;
    } else if (fs::is_regular_file(word)) {
      options.corpus.push_back(read_file(word));
    } else {
      std::fprintf(stderr,
                   "usage: %s [--runs N] [--seconds S] [--seed X] [--dict FILE] CORPUS_DIRECTORY | FILE...\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace katana::fuzz

int main(int argc, char** argv) {
  using namespace katana::fuzz;
  const Options options = read_options(argc, argv);
  watch_for_crashes();
  ::alarm(kHangSeconds);
  run_once({});
  for (const std::string& input : options.corpus)
    run_once(input);
  std::uint64_t runs = 1 + options.corpus.size();
  if (!options.mutate) {
    std::printf("%llu inputs, all promises kept\n", static_cast<unsigned long long>(runs));
    return 0;
  }
  Mutator mutator(options.seed, options.corpus, options.tokens);
  const auto began = std::chrono::steady_clock::now();
  for (std::string input; runs < options.runs; ++runs) {
    if (runs % 16 == 0) {
      ::alarm(kHangSeconds);
      if (std::chrono::steady_clock::now() - began >= options.limit) break;
    }
    input = mutator.next();
    run_once(input);
  }
  ::alarm(0);
  std::printf("%llu inputs (seed %llu, %zu in the corpus), all promises kept\n",
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(options.seed),
              options.corpus.size());
  return 0;
}
