# Debian packages by CPack: libeddy0 and libeddy-sim0 with a library each, libeddy-dev with the rest. ./dev package
# builds them; by hand: -DEDDY_DEBIAN=ON -DCMAKE_INSTALL_PREFIX=/usr, which also gives the multiarch paths, then cpack.

set(maintainer "The Eddy authors <authors@eddy.invalid>")
if(NOT "$ENV{DEBEMAIL}" STREQUAL "")
    set(maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
endif()
set(EDDY_DEBIAN_MAINTAINER "${maintainer}" CACHE STRING "Who maintains the Debian packages: NAME <ADDRESS>")
set(EDDY_DEBIAN_REVISION 1 CACHE STRING "Revision of the Debian packages")

# ---- what policy wants in /usr/share/doc ----

string(TIMESTAMP EDDY_DEBIAN_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
string(TIMESTAMP EDDY_DEBIAN_YEAR "%Y" UTC)
file(READ ${PROJECT_SOURCE_DIR}/LICENSE license)
string(REGEX REPLACE "^MIT License\n+(Copyright [^\n]*\n)+\n*" "" license "${license}")
string(STRIP "${license}" license)
string(REGEX REPLACE "\n\n" "\n.\n" license "${license}")
string(REGEX REPLACE "\n" "\n " EDDY_DEBIAN_LICENSE "${license}")

set(folder ${PROJECT_BINARY_DIR}/debian)
foreach(file copyright changelog)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/debian/${file}.in ${folder}/${file} @ONLY)
endforeach()
execute_process(COMMAND gzip -9nc ${folder}/changelog
    OUTPUT_FILE ${folder}/changelog.Debian.gz COMMAND_ERROR_IS_FATAL ANY)
foreach(package libeddy0 libeddy-sim0 libeddy-dev)
    install(FILES ${folder}/copyright ${folder}/changelog.Debian.gz
        DESTINATION share/doc/${package} COMPONENT ${package})
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples DESTINATION share/doc/libeddy-dev
    FILES_MATCHING PATTERN "*.[ch]" PATTERN "README.md")

# ---- the packages ----

# The files that make the linker's cache be renewed, and tell other packages what they depend on. CPack would write
# scripts that call ldconfig in place of the former.
function(eddy_debian_library name)
    file(WRITE ${folder}/${name}/triggers "activate-noawait ldconfig\n")
    file(WRITE ${folder}/${name}/shlibs "lib${name} 0 lib${name}0 (>= ${PROJECT_VERSION})\n")
    string(TOUPPER lib${name}0 upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA ${folder}/${name}/triggers ${folder}/${name}/shlibs PARENT_SCOPE)
endfunction()
eddy_debian_library(eddy)
eddy_debian_library(eddy-sim)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME eddy)
set(CPACK_PACKAGE_VENDOR "the Eddy authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # would stand above each package's own
set(CPACK_PACKAGE_CONTACT "${EDDY_DEBIAN_MAINTAINER}")
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/EddyDebianStage.cmake)
set(CPACK_POST_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/EddyDebianFinish.cmake)
set(CPACK_COMPONENTS_ALL libeddy0 libeddy-sim0 libeddy-dev)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_COMPONENTS_IGNORE_GROUPS ON)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${EDDY_DEBIAN_REVISION})
set(CPACK_DEBIAN_PACKAGE_SOURCE eddy)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(this_version "(= ${PROJECT_VERSION}-${EDDY_DEBIAN_REVISION})")

set(about "Eddy is the class-based half of Python's asyncio for C programs:
an event loop over epoll, poll, select or io_uring, transports that own
sockets and buffers, and protocols written as tables of callbacks.")

set(CPACK_DEBIAN_LIBEDDY0_PACKAGE_NAME libeddy0)
set(CPACK_DEBIAN_LIBEDDY0_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBEDDY0_DESCRIPTION "event loop with transports and protocols - library
${about}
.
This package has what programs need to run.")

set(CPACK_DEBIAN_LIBEDDY-SIM0_PACKAGE_NAME libeddy-sim0)
set(CPACK_DEBIAN_LIBEDDY-SIM0_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBEDDY-SIM0_PACKAGE_DEPENDS "libeddy0 ${this_version}")
set(CPACK_DEBIAN_LIBEDDY-SIM0_DESCRIPTION "event loop with transports and protocols - simulator
${about}
.
This package has the simulated network and clock that programs are
tested with.")

set(CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_NAME libeddy-dev)
set(CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_DEPENDS
    "libeddy0 ${this_version}, libeddy-sim0 ${this_version}, libc6-dev | libc-dev")
if(EDDY_CARES) # for the static library
    string(APPEND CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_DEPENDS ", libc-ares-dev")
endif()
if(EDDY_OPENSSL)
    string(APPEND CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_DEPENDS ", libssl-dev")
endif()
set(CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_SUGGESTS "pkg-config, cmake")
set(CPACK_DEBIAN_LIBEDDY-DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_LIBEDDY-DEV_DESCRIPTION "event loop with transports and protocols - development files
${about}
.
This package has headers, static libraries, manual pages, examples, and
files for pkg-config and CMake.")

include(CPack)
