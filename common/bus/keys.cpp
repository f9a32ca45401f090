#include "common/bus/keys.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/core/text.hpp"
#include "common/log/log.hpp"

namespace katana::bus {
namespace {

constexpr log::Room kLog{"bus"};

namespace fs = std::filesystem;

constexpr std::size_t kMaxKeyFile = 256;
constexpr std::size_t kMaxAuthorized = 4096;
constexpr const char* kAuthorized = "authorized";

std::string reason(int error) {
  return std::system_category().message(error);
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

bool is_key(std::string_view text) {
  if (text.size() != kKeyCharacters) return false;
  std::array<std::uint8_t, 32> raw{};
  return zmq_z85_decode(raw.data(), std::string(text).c_str()) != nullptr;
}

/// Where a secret is mounted, its mode isn't in the operator's hand.
bool mounted_by_platform(const fs::path& path) {
  const std::string text = fs::absolute(path).lexically_normal().string();
  return text.starts_with("/run/secrets/") || text.starts_with("/run/credentials/");
}

Result<void> check_private(int fd, const fs::path& path) {
  struct stat found {};
  if (::fstat(fd, &found) != 0) return fail(Code::Internal, path.string() + ": " + reason(errno));
  if ((found.st_mode & 077) == 0) return {};
  if (mounted_by_platform(path)) {
    kLog.warn("the key {} can be read by others", path.string());
    return {};
  }
  return fail(Code::Rejected,
              "the key " + path.string() + " can be read by others; run: chmod 600 " + path.string());
}

Result<std::string> read_key(const fs::path& path, bool secret) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd() < 0) {
    return fail(Code::Rejected, "cannot read the key " + path.string() + ": " + reason(errno) +
                                    (errno == ENOENT ? "; make keys with: katana keygen DIR" : ""));
  }
  if (secret) {
    if (auto checked = check_private(file.fd(), path); !checked) return fail(checked.error());
  }
  std::array<char, kMaxKeyFile> buffer{};
  const ssize_t got = ::read(file.fd(), buffer.data(), buffer.size());
  if (got < 0) return fail(Code::Rejected, "cannot read the key " + path.string() + ": " + reason(errno));
  const std::string_view key = text::trim({buffer.data(), static_cast<std::size_t>(got)});
  if (!is_key(key)) {
    return fail(Code::Rejected, "the key " + path.string() + " isn't one line of 40 characters of Z85");
  }
  return std::string(key);
}

Result<void> write_key(const fs::path& path, std::string_view key) {
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.fd() < 0) {
    return fail(Code::Rejected, errno == EEXIST
                                    ? path.string() + " is there already; keys are never overwritten"
                                    : "cannot make " + path.string() + ": " + reason(errno));
  }
  const std::string line = std::string(key) + "\n";
  const bool whole = ::write(file.fd(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!whole || ::fsync(file.fd()) != 0) {
    return fail(Code::Internal, "cannot write " + path.string() + ": " + reason(errno));
  }
  return {};
}

/// A directory of mode 0700: made, or found to be one.
Result<void> private_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST)
    return fail(Code::Rejected, "cannot make the directory " + path.string() + ": " + reason(errno));
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return fail(Code::Rejected, path.string() + " is there and isn't a directory");
  }
  if ((found.st_mode & 077) != 0) {
    return fail(Code::Rejected, path.string() + " is open to others; run: chmod 700 " + path.string());
  }
  return {};
}

fs::path secret_path(const fs::path& directory, std::string_view party, const fs::path& secrets) {
  const std::string name = std::string(party) + ".secret";
  if (!secrets.empty() && ::access((secrets / name).c_str(), F_OK) == 0) return secrets / name;
  return directory / name;
}

struct NewFile {
  fs::path path;
  std::string content;
};

/// `party`'s fresh pair in `home`, and its public key among the authorized ones of `directory`, as `name`.
Result<void> add_fresh_pair(std::vector<NewFile>& files, const fs::path& home, const std::string& party,
                            const fs::path& directory, const std::string& name) {
  std::array<char, kKeyCharacters + 1> public_key{};
  std::array<char, kKeyCharacters + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return fail(Code::Internal, "this build of ZeroMQ has no CURVE");
  }
  files.push_back({home / (party + ".public"), public_key.data()});
  files.push_back({home / (party + ".secret"), secret_key.data()});
  files.push_back({directory / kAuthorized / (name + ".public"), public_key.data()});
  return {};
}

Result<void> check_free(const std::vector<NewFile>& files) {
  for (const NewFile& file : files) {
    if (fs::exists(fs::symlink_status(file.path))) {
      return fail(Code::Rejected, file.path.string() + " is there already; keys are never overwritten");
    }
  }
  return {};
}

/// All of them or none.
Result<std::vector<std::string>> write_all(const std::vector<NewFile>& files) {
  if (auto free = check_free(files); !free) return fail(free.error());
  std::vector<std::string> made;
  for (const NewFile& file : files) {
    if (auto written = write_key(file.path, file.content); !written) {
      for (const std::string& path : made)
        ::unlink(path.c_str());
      return fail(written.error());
    }
    made.push_back(file.path.string());
  }
  return made;
}

bool is_name(const std::string& name) {
  constexpr std::size_t kLongest = 32;
  return !name.empty() && name.size() <= kLongest && name != kAuthorized &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

}  // namespace

Result<KeyPair> read_pair(const fs::path& directory, std::string_view name, const fs::path& secrets) {
  auto public_key = read_public(directory, name);
  if (!public_key) return fail(public_key.error());
  auto secret_key = read_key(secret_path(directory, name, secrets), true);
  if (!secret_key) return fail(secret_key.error());
  // Read while somebody was replacing them, or mixed up: with such a pair nobody could be reached.
  std::array<char, kKeyCharacters + 1> derived{};
  if (zmq_curve_public(derived.data(), secret_key->c_str()) != 0 || derived.data() != *public_key) {
    return fail(Code::Rejected, "the keys " + (directory / name).string() +
                                    ".public and .secret don't belong together; put both of a pair there");
  }
  return KeyPair{std::move(*public_key), Secret(std::move(*secret_key))};
}

Result<std::string> read_public(const fs::path& directory, std::string_view name) {
  return read_key(directory / (std::string(name) + ".public"), false);
}

Result<KeyPair> read_client_pair(const fs::path& directory, const fs::path& secrets) {
  for (const char* party : {"worker", "server", "watchdog"}) {
    if (::access(secret_path(directory, party, secrets).c_str(), R_OK) == 0)
      return read_pair(directory, party, secrets);
  }
  return read_pair(directory, "worker", secrets);  // which says what is missing
}

Result<std::map<std::string, std::string>> read_authorized(const fs::path& directory) {
  const fs::path folder = directory / kAuthorized;
  std::map<std::string, std::string> keys;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() != ".public") continue;
    if (keys.size() == kMaxAuthorized)
      return fail(Code::Rejected, folder.string() + " holds more than 4096 keys");
    auto key = read_key(it->path(), false);
    if (!key) return fail(key.error());
    keys.emplace(std::move(*key), it->path().stem().string());
  }
  if (error) return fail(Code::Rejected, "cannot read " + folder.string() + ": " + error.message());
  return keys;
}

Result<std::vector<std::string>> make_keys(const fs::path& directory) {
  for (const fs::path& path : {directory, directory / kAuthorized}) {
    if (auto made = private_directory(path); !made) return fail(made.error());
  }
  std::vector<NewFile> files;
  for (const char* party : {"server", "worker", "watchdog"}) {
    if (auto added = add_fresh_pair(files, directory, party, directory, party); !added)
      return fail(added.error());
  }
  return write_all(files);
}

Result<std::string> make_worker_keys(const fs::path& directory, const std::string& name) {
  if (!is_name(name))
    return fail(Code::Rejected,
                "'" + name + "' is no name for a worker's key: write 1 to 32 of a-z, 0-9 and -");
  const fs::path home = directory / name;
  std::vector<NewFile> files;
  for (const char* party : {"server", "watchdog"}) {
    auto key = read_public(directory, party);
    if (!key) return fail(key.error());
    files.push_back({home / (std::string(party) + ".public"), std::move(*key)});
  }
  if (auto added = add_fresh_pair(files, home, "worker", directory, name); !added) return fail(added.error());
  if (auto free = check_free(files); !free) return fail(free.error());
  if (auto made = private_directory(home); !made) return fail(made.error());
  if (auto written = write_all(files); !written) return fail(written.error());
  return home.string();
}

}  // namespace katana::bus
