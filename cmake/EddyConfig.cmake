# find_package(Eddy 0.1 REQUIRED COMPONENTS eddy-sim): the components are eddy, which is always there, and eddy-sim.
# Without any named both are there.

set(Eddy_KNOWN_COMPONENTS eddy eddy-sim)
set(Eddy_WANTED_COMPONENTS eddy)
if(NOT Eddy_FIND_COMPONENTS)
    set(Eddy_WANTED_COMPONENTS ${Eddy_KNOWN_COMPONENTS})
endif()

foreach(component ${Eddy_FIND_COMPONENTS})
    list(FIND Eddy_KNOWN_COMPONENTS ${component} place)
    if(place GREATER 0)
        list(APPEND Eddy_WANTED_COMPONENTS ${component})
    elseif(place LESS 0)
        set(Eddy_${component}_FOUND FALSE)
        if(Eddy_FIND_REQUIRED_${component})
            set(Eddy_FOUND FALSE)
            set(Eddy_NOT_FOUND_MESSAGE "Eddy has no component \"${component}\": there are eddy and eddy-sim.")
            return()
        endif()
    endif()
endforeach()

include(CMakeFindDependencyMacro)
find_dependency(Threads)
foreach(component ${Eddy_WANTED_COMPONENTS})
    include(${CMAKE_CURRENT_LIST_DIR}/${component}-targets.cmake)
    set(Eddy_${component}_FOUND TRUE)
endforeach()
