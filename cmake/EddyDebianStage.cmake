# CPack runs this when the files of the packages are staged: Debian wants manual pages compressed, and libraries without
# what only debuggers read. CPack itself strips programs and shared libraries, and leaves their comments.

file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/*.[37])
if(pages)
    execute_process(COMMAND gzip -9n ${pages} COMMAND_ERROR_IS_FATAL ANY)
endif()

file(GLOB_RECURSE libraries ${CPACK_TEMPORARY_DIRECTORY}/*.a ${CPACK_TEMPORARY_DIRECTORY}/*.so.*.*.*)
foreach(library ${libraries})
    execute_process(
        COMMAND strip --strip-debug --remove-section=.comment --enable-deterministic-archives ${library}
        COMMAND_ERROR_IS_FATAL ANY)
endforeach()
