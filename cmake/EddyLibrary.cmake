# How the libraries are compiled, linked and installed. A library NAME has its sources in the object library
# NAME-objects and its version script in cmake/NAME.map; it comes as the targets NAME (shared) and NAME-static.

include(CheckCCompilerFlag)
include(CheckLinkerFlag)

check_c_compiler_flag(-fno-semantic-interposition EDDY_HAS_NO_SEMANTIC_INTERPOSITION)
check_c_compiler_flag(-fno-plt EDDY_HAS_NO_PLT)
check_linker_flag(C -Wl,-Bsymbolic-functions EDDY_HAS_BSYMBOLIC_FUNCTIONS)
check_linker_flag(C -Wl,-z,defs EDDY_HAS_Z_DEFS)
check_linker_flag(C "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/eddy.map" EDDY_HAS_VERSION_SCRIPT)

set(EDDY_PUBLIC_INCLUDES
    ${PROJECT_SOURCE_DIR}/framework/include
    ${PROJECT_SOURCE_DIR}/transports/include
    ${PROJECT_SOURCE_DIR}/protocols/include)

function(eddy_compile_as_library objects)
    set_target_properties(${objects} PROPERTIES
        POSITION_INDEPENDENT_CODE ON
        C_VISIBILITY_PRESET hidden)
    # No folder with private headers may be on the include path: a signal.h there would shadow the system's.
    target_include_directories(${objects} PRIVATE ${EDDY_PUBLIC_INCLUDES} ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${objects} PRIVATE _GNU_SOURCE _FILE_OFFSET_BITS=64 EDDY_BUILDING)
    if(EDDY_HAS_NO_PLT)
        target_compile_options(${objects} PRIVATE -fno-plt)
    endif()
    if(EDDY_HAS_NO_SEMANTIC_INTERPOSITION)
        target_compile_options(${objects} PRIVATE -fno-semantic-interposition)
    endif()
    target_link_libraries(${objects} PRIVATE Threads::Threads)
endfunction()

# eddy_add_libraries(NAME [OTHER...] [PRIVATE LIBRARY...]): NAME links OTHER, shared to shared and static to static, and
# LIBRARY, of which its users know only when they link NAME-static.
function(eddy_add_libraries name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PRIVATE")
    add_library(${name} SHARED $<TARGET_OBJECTS:${name}-objects>)
    add_library(${name}-static STATIC $<TARGET_OBJECTS:${name}-objects>)
    set_target_properties(${name} PROPERTIES
        VERSION ${PROJECT_VERSION}
        SOVERSION 0
        LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/${name}.map)
    set_target_properties(${name}-static PROPERTIES OUTPUT_NAME ${name})
    if(EDDY_HAS_VERSION_SCRIPT)
        target_link_options(${name} PRIVATE
            -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/${name}.map)
    endif()
    if(EDDY_HAS_BSYMBOLIC_FUNCTIONS)
        target_link_options(${name} PRIVATE -Wl,-Bsymbolic-functions)
    endif()
    # Sanitizers leave their own symbols to the program.
    if(EDDY_HAS_Z_DEFS AND NOT EDDY_SANITIZE)
        target_link_options(${name} PRIVATE -Wl,-z,defs)
    endif()

    set(suffix_of_${name} "")
    set(suffix_of_${name}-static "-static")
    foreach(target ${name} ${name}-static)
        foreach(dir ${EDDY_PUBLIC_INCLUDES})
            target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${dir}>)
        endforeach()
        target_include_directories(${target} PUBLIC $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
        target_link_libraries(${target} PUBLIC Threads::Threads)
        foreach(other ${arg_UNPARSED_ARGUMENTS})
            target_link_libraries(${target} PUBLIC ${other}${suffix_of_${target}})
        endforeach()
        target_link_libraries(${target} PRIVATE ${arg_PRIVATE})
        add_library(Eddy::${target} ALIAS ${target})
    endforeach()

    if(EDDY_INSTALL)
        eddy_install_libraries(${name} ${ARGN})
    endif()
endfunction()

# The components of an installation are called as Debian calls their packages: libNAME0 for each library, libeddy-dev
# for all that is needed to build with them.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME libeddy-dev)
set(EDDY_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Eddy)

# The targets of each library are exported apart: each is a component of the CMake package.
function(eddy_install_libraries name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PRIVATE")
    install(TARGETS ${name} ${name}-static EXPORT ${name}-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
            COMPONENT lib${name}0 NAMELINK_COMPONENT libeddy-dev
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libeddy-dev)
    install(EXPORT ${name}-targets NAMESPACE Eddy:: DESTINATION ${EDDY_CONFIG_DIR})

    set(EDDY_PC_NAME ${name})
    set(EDDY_PC_REQUIRES "")
    foreach(other ${arg_UNPARSED_ARGUMENTS})
        string(APPEND EDDY_PC_REQUIRES "${other} = ${PROJECT_VERSION}")
    endforeach()
    set(EDDY_PC_LIBS_PRIVATE "") # in order: a static library needs what comes behind it
    foreach(library ${arg_PRIVATE})
        string(APPEND EDDY_PC_LIBS_PRIVATE "-l${library} ")
    endforeach()
    string(APPEND EDDY_PC_LIBS_PRIVATE "-pthread")
    # The prefix is found from where the file lies: it may be chosen, or changed, when installing. A package of the
    # system has it written out, as cross compilers with a sysroot expect.
    if(EDDY_DEBIAN OR IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
        set(EDDY_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    else()
        string(REGEX REPLACE "[^/]+" ".." up ${CMAKE_INSTALL_LIBDIR})
        set(EDDY_PC_PREFIX "\${pcfiledir}/../${up}")
    endif()
    cmake_path(APPEND EDDY_PC_LIBDIR "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
    cmake_path(APPEND EDDY_PC_INCLUDEDIR "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
    configure_file(${PROJECT_SOURCE_DIR}/cmake/eddy.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

function(eddy_install)
    include(CMakePackageConfigHelpers)
    foreach(dir ${EDDY_PUBLIC_INCLUDES})
        install(DIRECTORY ${dir}/eddy DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
            FILES_MATCHING PATTERN "*.h")
    endforeach()
    write_basic_package_version_file(${PROJECT_BINARY_DIR}/EddyConfigVersion.cmake
        COMPATIBILITY SameMinorVersion)
    install(FILES ${PROJECT_SOURCE_DIR}/cmake/EddyConfig.cmake
        ${PROJECT_BINARY_DIR}/EddyConfigVersion.cmake DESTINATION ${EDDY_CONFIG_DIR})
endfunction()
