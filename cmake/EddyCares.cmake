# c-ares answers for names on the loop itself (framework/resolver/cares.c); without it there are threads only.

option(EDDY_CARES "Look names up by c-ares" ON)

set(EDDY_CARES_LIBRARIES "")
if(EDDY_CARES)
    find_path(EDDY_CARES_INCLUDE ares.h)
    find_library(EDDY_CARES_LIBRARY cares)
    mark_as_advanced(EDDY_CARES_INCLUDE EDDY_CARES_LIBRARY)
    if(NOT EDDY_CARES_INCLUDE OR NOT EDDY_CARES_LIBRARY)
        message(FATAL_ERROR "c-ares was not found. Install it (Debian and Ubuntu: libc-ares-dev), or have names looked up "
            "in threads only, by -DEDDY_CARES=OFF.")
    endif()
    # To those who link the installed static library this is -lcares, wherever it lay here.
    if(NOT TARGET cares)
        add_library(cares UNKNOWN IMPORTED GLOBAL)
        set_target_properties(cares PROPERTIES IMPORTED_LOCATION ${EDDY_CARES_LIBRARY})
    endif()
    set(EDDY_CARES_LIBRARIES cares)
endif()
