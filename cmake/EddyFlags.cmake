# Compiler and linker flags that hold for everything in the tree.

set(EDDY_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")
option(EDDY_COVERAGE "Instrument for gcov" OFF)
option(EDDY_WERROR "Treat warnings as errors" OFF)

# A build without a type would be one without optimization.
get_property(multiple_types GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT multiple_types)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo, MinSizeRel or None" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wcast-qual -Wstrict-prototypes
                    -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla)
if(EDDY_WERROR)
    add_compile_options(-Werror)
endif()

if(EDDY_SANITIZE)
    add_compile_options(-fsanitize=${EDDY_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${EDDY_SANITIZE})
endif()

if(EDDY_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()
