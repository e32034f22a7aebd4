# Registering tests. What a test needs is written in its own first twenty lines, so that adding a test is adding a file:
#
#     backends: select poll epoll sim    once per backend: EDDY_TEST_BACKEND is set (scripts: --backend)
#     roads: tcp unix tls tls2           ... and for each of these: EDDY_TEST_ROAD is set; on some backends only, see below
#     timeout: 120                       seconds, in place of 60
#     labels: threads                    ctest labels beside the folder's name
#     serial                             never beside another test
#     needs: openssl                     left out where Eddy is built without it, as what is called tls_*; no-openssl: with it
#     smoke                              a benchmark that measures on its own: ctest runs it with --smoke
#
# as comments: /* serial */ in C, # serial in scripts.

# An empty TIMEOUT is none, with or without it; without it CMake 3.31 warns.
if(POLICY CMP0174)
    cmake_policy(SET CMP0174 NEW)
endif()

set(EDDY_TEST_TIMEOUT_FACTOR 1 CACHE STRING "What each test's time-out is multiplied by (sanitizers are slow)")

# Sets PREFIX_backends, _roads, _timeout, _labels, _serial and _smoke from the head of FILE, and PREFIX_left_out.
function(eddy_read_marks prefix file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} text LIMIT 2000)
    string(REPLACE ";" "," text "${text}")
    string(REPEAT "[^\n]*\n?" 20 twenty_lines)
    string(REGEX MATCH "^${twenty_lines}" head "${text}")
    foreach(mark backends roads labels timeout)
        set(value "")
        if(head MATCHES "(/\\*|#) ${mark}: *([a-z0-9_ -]+)")
            string(STRIP "${CMAKE_MATCH_2}" value)
            string(REGEX REPLACE " +" ";" value "${value}")
        endif()
        set(${prefix}_${mark} "${value}" PARENT_SCOPE)
    endforeach()
    foreach(mark serial smoke)
        set(value FALSE)
        if(head MATCHES "(/\\*|#) ${mark}( \\*/|\n)")
            set(value TRUE)
        endif()
        set(${prefix}_${mark} ${value} PARENT_SCOPE)
    endforeach()
    get_filename_component(name ${file} NAME)
    set(left_out FALSE)
    if(EDDY_OPENSSL)
        if(head MATCHES "(/\\*|#) needs: no-openssl")
            set(left_out TRUE)
        endif()
    elseif(name MATCHES "^tls_" OR head MATCHES "(/\\*|#) needs: openssl")
        set(left_out TRUE)
    endif()
    set(${prefix}_left_out ${left_out} PARENT_SCOPE)
endfunction()

# eddy_set_test(NAME [SERIAL] [TIMEOUT seconds] [LABELS ...] [ENVIRONMENT ...]): properties of a ctest entry.
function(eddy_set_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "LABELS;ENVIRONMENT")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 60)
    endif()
    math(EXPR timeout "${arg_TIMEOUT} * ${EDDY_TEST_TIMEOUT_FACTOR}")
    set_tests_properties(${name} PROPERTIES
        TIMEOUT ${timeout}
        LABELS "${arg_LABELS}"
        ENVIRONMENT "${arg_ENVIRONMENT}"
        SKIP_RETURN_CODE 77)
    if(arg_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
    endif()
endfunction()

# eddy_add_program(TARGET SOURCES ...): a program over the static libraries that may use private headers.
function(eddy_add_program target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
    add_executable(${target} ${arg_SOURCES})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE _FILE_OFFSET_BITS=64)
    target_link_libraries(${target} PRIVATE eddy-sim-static eddy-static)
endfunction()

# The backends of the roads besides tcp, which has all. The simulated network has no unix sockets; TLS is the same on all selectors.
set(EDDY_TEST_BACKENDS_unix select poll epoll io_uring)
set(EDDY_TEST_BACKENDS_tls "")
set(EDDY_TEST_BACKENDS_tls2 "")
if(EDDY_OPENSSL)
    set(EDDY_TEST_BACKENDS_tls epoll io_uring sim sim-late)
    set(EDDY_TEST_BACKENDS_tls2 sim)
endif()

# eddy_add_test(NAME SOURCES ... [LABELS ...] [TIMEOUT seconds] [ARGS ...] [BACKENDS ...] [ROADS ...] [SERIAL]): one CUnit
# program and its ctest entry NAME, or with BACKENDS one entry NAME.BACKEND for each, over tcp, and NAME.BACKEND.ROAD for
# other roads.
function(eddy_add_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "SOURCES;LABELS;ARGS;BACKENDS;ROADS")
    string(REPLACE "." "-" target ${name})
    eddy_add_program(${target} SOURCES ${arg_SOURCES})
    target_link_libraries(${target} PRIVATE eddy-test-support PkgConfig::CUNIT)
    if("threads" IN_LIST arg_LABELS)
        add_dependencies(eddy-tests-threads ${target})
    endif()

    set(common LABELS ${arg_LABELS})
    if(arg_TIMEOUT)
        list(APPEND common TIMEOUT ${arg_TIMEOUT})
    endif()
    if(arg_SERIAL)
        list(APPEND common SERIAL)
    endif()
    if(arg_BACKENDS)
        foreach(backend ${arg_BACKENDS})
            if(backend IN_LIST EDDY_TEST_BACKENDS)
                add_test(NAME ${name}.${backend} COMMAND ${target} ${arg_ARGS})
                eddy_set_test(${name}.${backend} ${common} ENVIRONMENT EDDY_TEST_BACKEND=${backend})
                foreach(road ${arg_ROADS})
                    if(backend IN_LIST EDDY_TEST_BACKENDS_${road})
                        add_test(NAME ${name}.${backend}.${road} COMMAND ${target} ${arg_ARGS})
                        eddy_set_test(${name}.${backend}.${road} ${common}
                            ENVIRONMENT EDDY_TEST_BACKEND=${backend} EDDY_TEST_ROAD=${road})
                    endif()
                endforeach()
            endif()
        endforeach()
    else()
        add_test(NAME ${name} COMMAND ${target} ${arg_ARGS})
        eddy_set_test(${name} ${common})
    endif()
endfunction()

# eddy_add_test_folder(FOLDER): every FOLDER/*.c is a test FOLDER.NAME, registered as its marks say.
function(eddy_add_test_folder folder)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
    foreach(source ${sources})
        get_filename_component(name ${source} NAME_WE)
        eddy_read_marks(mark ${source})
        if(mark_left_out)
            continue()
        endif()
        set(options "")
        if(mark_serial)
            set(options SERIAL)
        endif()
        eddy_add_test(${folder}.${name}
            SOURCES ${source}
            LABELS ${folder} ${mark_labels}
            TIMEOUT ${mark_timeout}
            BACKENDS ${mark_backends}
            ROADS ${mark_roads}
            ${options})
    endforeach()
endfunction()
