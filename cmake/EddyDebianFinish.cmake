# CPack runs this when the packages are built. It has no field for Multi-Arch yet (CMake 3.31 has), and gives packages
# of libraries scripts that call ldconfig, where Debian has had a trigger for long: they carry one.

foreach(package ${CPACK_PACKAGE_FILES})
    set(folder ${CPACK_TEMPORARY_DIRECTORY}/finish)
    file(REMOVE_RECURSE ${folder})
    execute_process(COMMAND dpkg-deb --raw-extract ${package} ${folder} COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE ${folder}/DEBIAN/postinst ${folder}/DEBIAN/postrm)
    file(READ ${folder}/DEBIAN/control control)
    string(REGEX REPLACE "\nPriority:" "\nMulti-Arch: same\nPriority:" control "${control}")
    file(WRITE ${folder}/DEBIAN/control "${control}")
    execute_process(COMMAND dpkg-deb --root-owner-group --build ${folder} ${package}
        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endforeach()
