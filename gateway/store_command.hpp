#pragma once

namespace katana::gateway {

/// `katana-gateway store check` and `katana-gateway store restore FILE [--replace]`: what `katana doctor` and
/// `katana restore` run, since no other program opens the store; `--env-file F` may stand at the end.
/// `argv[0]` is `store`. The exit status.
int run_store_command(int argc, const char* const* argv);

}  // namespace katana::gateway
