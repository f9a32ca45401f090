# The Debian package: where each file goes, and what dpkg is to know of it. deploy/package.sh runs it; what is made there
# (manual pages, completion, the list of parts) stands in ${made}.
set(package ${CMAKE_SOURCE_DIR}/deploy/package)
set(units ${CMAKE_SOURCE_DIR}/deploy/systemd)
set(made ${CMAKE_BINARY_DIR}/package)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # tests aren't packed, nor built for it

set(programs katana katana-gateway katana-claude katana-openai katana-watchdog)
install(TARGETS ${programs} RUNTIME DESTINATION bin)
# A build id is made of the debug information, too, and so of the builder's paths: without it the same commit gives the same package.
foreach(program ${programs})
  target_link_options(${program} PRIVATE -Wl,--build-id=none)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/deploy/models.toml DESTINATION share/katana)
install(DIRECTORY ${units}/ DESTINATION lib/systemd/system FILES_MATCHING PATTERN "katana*.service" PATTERN "katana.target"
  PATTERN "10-common.conf")
install(FILES ${units}/sysusers.conf DESTINATION lib/sysusers.d RENAME katana.conf)
install(FILES ${units}/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME katana.conf)
install(FILES ${made}/katana.env DESTINATION /etc/katana)
install(FILES ${package}/logrotate.conf DESTINATION /etc/logrotate.d RENAME katana)
install(FILES ${made}/katana.bash DESTINATION share/bash-completion/completions RENAME katana)
install(FILES ${made}/_katana DESTINATION share/zsh/vendor-completions)
install(DIRECTORY ${made}/man/ DESTINATION share/man)
install(DIRECTORY ${made}/doc/ DESTINATION share/doc/katana)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/prometheus ${CMAKE_SOURCE_DIR}/deploy/grafana
  ${CMAKE_SOURCE_DIR}/deploy/supervisor ${CMAKE_SOURCE_DIR}/deploy/cron
  DESTINATION share/doc/katana/examples PATTERN "*_test.yml" EXCLUDE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_NAME katana)
set(CPACK_PACKAGE_CONTACT "Katana <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "bot between Telegram, Claude and OpenAI")
set(CPACK_PACKAGE_DESCRIPTION "It lets people talk to Claude and OpenAI models from Telegram, on a server of yours, loses nothing
that they asked when a process dies, and tells you by e-mail and Telegram what broke, and when it is over.")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${package}/postinst;${package}/prerm;${package}/postrm;${package}/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
