# TLS is OpenSSL's (transports/tls); without it there is none, and whatever asks for it says so.

include(CheckCSourceCompiles)

option(EDDY_OPENSSL "Speak TLS, by OpenSSL 3.0 or newer" ON)

set(EDDY_OPENSSL_LIBRARIES "")
if(EDDY_OPENSSL)
    find_path(EDDY_OPENSSL_INCLUDE openssl/ssl.h)
    find_library(EDDY_SSL_LIBRARY ssl)
    find_library(EDDY_CRYPTO_LIBRARY crypto)
    mark_as_advanced(EDDY_OPENSSL_INCLUDE EDDY_SSL_LIBRARY EDDY_CRYPTO_LIBRARY)
    if(NOT EDDY_OPENSSL_INCLUDE OR NOT EDDY_SSL_LIBRARY OR NOT EDDY_CRYPTO_LIBRARY)
        message(FATAL_ERROR "OpenSSL was not found. Install it (Debian and Ubuntu: libssl-dev), or do without TLS, by "
            "-DEDDY_OPENSSL=OFF.")
    endif()
    set(CMAKE_REQUIRED_INCLUDES ${EDDY_OPENSSL_INCLUDE})
    check_c_source_compiles("
        #include <openssl/opensslv.h>
        #if OPENSSL_VERSION_NUMBER < 0x30000000L
        #error
        #endif
        int main(void) { return 0; }" EDDY_OPENSSL_IS_NEW)
    unset(CMAKE_REQUIRED_INCLUDES)
    if(NOT EDDY_OPENSSL_IS_NEW)
        message(FATAL_ERROR "OpenSSL in ${EDDY_OPENSSL_INCLUDE} is too old, or another library of its kind: 3.0 or newer "
            "is needed. Do without TLS by -DEDDY_OPENSSL=OFF.")
    endif()
    # To those who link the installed static library these are -lssl -lcrypto, wherever they lay here.
    foreach(library ssl crypto)
        string(TOUPPER ${library} upper)
        if(NOT TARGET ${library})
            add_library(${library} UNKNOWN IMPORTED GLOBAL)
            set_target_properties(${library} PROPERTIES IMPORTED_LOCATION ${EDDY_${upper}_LIBRARY})
        endif()
        list(APPEND EDDY_OPENSSL_LIBRARIES ${library})
    endforeach()
endif()
