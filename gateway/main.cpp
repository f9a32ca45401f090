// katana-gateway: see README.md in this folder.
#include "common/config/command_line.hpp"
#include "gateway/gateway.hpp"
